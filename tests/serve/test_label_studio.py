"""Label Studio's ML backend: requests in the documented form, for images whose masks are known."""

from __future__ import annotations

import base64
from contextlib import contextmanager

import numpy as np
import pytest

from masklet.masks.brush_rle import decode_brush
from masklet.masks.polygons import rasterize
from masklet.serve.limits import Limits
from masklet.serve.protocols import label_studio
from masklet.serve.sources import Sources
from support.tool_protocols import (
    SIDE,
    decode_data_url,
    draw,
    encode_png,
    make_mask,
    open_protocol,
    write_lossless_clip,
)

IMAGE_CONFIG = """
<View>
  <Image name="image" value="$image" zoom="true"/>
  <BrushLabels name="tag" toName="image"><Label value="cat" background="#FF0000"/><Label value="dog"/></BrushLabels>
  <KeyPointLabels name="tag2" toName="image" smart="true"><Label value="cat"/><Label value="dog"/></KeyPointLabels>
  <RectangleLabels name="tag3" toName="image" smart="true"><Label value="cat"/><Label value="dog"/></RectangleLabels>
</View>
"""
VIDEO_CONFIG = """
<View>
  <Labels name="videoLabels" toName="video" allowEmpty="true"><Label value="Person"/></Labels>
  <Video name="video" value="$video" framerate="10.0"/>
  <VideoRectangle name="box" toName="video" smart="true"/>
</View>
"""
A, B = (8, 16, 24, 48), (40, 4, 60, 20)  # boxes of two objects
IMAGE = draw({100: A, 200: B})
DATA_URL = f"data:image/png;base64,{encode_png(IMAGE)}"


@pytest.fixture(scope="module")
def client():
    with open_protocol(label_studio) as client:
        yield client


def point(x, y, *, label="cat", positive=1):
    value = {"x": x * 100 / SIDE, "y": y * 100 / SIDE, "width": 0.5, "keypointlabels": [label]}
    return {"type": "keypointlabels", "value": value, "is_positive": positive, "original_width": SIDE,
            "original_height": SIDE, "image_rotation": 0, "from_name": "tag2", "to_name": "image"}  # fmt: skip


def rectangle(x0, y0, x1, y1, *, label="cat"):
    value = {"x": x0 * 100 / SIDE, "y": y0 * 100 / SIDE, "width": (x1 - x0) * 100 / SIDE,
             "height": (y1 - y0) * 100 / SIDE, "rotation": 0, "rectanglelabels": [label]}  # fmt: skip
    return {"type": "rectanglelabels", "value": value, "original_width": SIDE, "original_height": SIDE,
            "from_name": "tag3", "to_name": "image"}  # fmt: skip


def request(items=None, *, config=IMAGE_CONFIG, tasks=None, **context):
    if items is not None:
        context["result"] = items
    return {
        "tasks": tasks or [{"id": 7, "data": {"image": DATA_URL}, "project": 1}],
        "project": "1.1700000000",
        "label_config": config,
        "params": {"login": None, "password": None, "context": context or None},
    }


def task_of(address):
    return [{"id": 1, "data": {"image": address}}]


def predict(client, *arguments, **settings):
    response = client.post("/predict", json=request(*arguments, **settings))
    assert response.status_code == 200, response.text
    (result,) = response.json()["results"]
    return result


def test_health_setup_webhook_versions_and_metrics_have_the_documented_form(client):
    for path in ("/", "/health"):
        assert client.get(path).json() == {"status": "UP", "model_class": "Masklet"}
    setup = {"project": "1.1700000000", "schema": IMAGE_CONFIG, "hostname": "http://localhost:8080",
             "access_token": "secret", "extra_params": None}  # fmt: skip
    version = client.post("/setup", json=setup).json()
    assert version == {"model_version": "masklet-sam2.1-micro-colors"}
    assert client.get("/versions").json() == {"versions": [version["model_version"]]}
    event = client.post("/webhook", json={"action": "ANNOTATION_CREATED", "project": {"id": 1}, "annotation": {}})
    assert (event.status_code, event.json()["status"]) == (201, "ok")
    assert client.get("/metrics").json() == {}


def test_training_is_refused_with_advice(client):
    response = client.post("/webhook", json={"action": "START_TRAINING", "project": {"id": 1}})
    assert response.status_code == 400 and "masklet train" in response.json()["error"]


def test_a_key_point_gives_a_brush_region_with_its_label(client):
    result = predict(client, [point(12, 20, label="dog")])
    (item,) = result["result"]
    assert (result["model_version"], result["score"]) == ("masklet-sam2.1-micro-colors", 1.0)
    value = item.pop("value")
    assert isinstance(item.pop("id"), str)
    assert item == {"from_name": "tag", "to_name": "image", "type": "brushlabels", "original_width": SIDE,
                    "original_height": SIDE, "image_rotation": 0, "score": 1.0, "readonly": False}  # fmt: skip
    assert (value["format"], value["brushlabels"]) == ("rle", ["dog"])
    assert (decode_brush(value["rle"], (SIDE, SIDE)) == make_mask(A)).all()


def test_positive_and_negative_points_and_a_rectangle_are_one_prompt(client):
    items = [rectangle(*A), point(50, 10), point(50, 10, positive=0)]
    (item,) = predict(client, items)["result"]
    assert (decode_brush(item["value"]["rle"], (SIDE, SIDE)) == make_mask(A)).all()


def test_every_rectangle_is_an_object(client):
    regions = predict(client, [rectangle(*A), rectangle(*B)])["result"]
    masks = [decode_brush(item["value"]["rle"], (SIDE, SIDE)) for item in regions]
    assert (masks[0] == make_mask(A)).all() and (masks[1] == make_mask(B)).all()


def test_polygons_and_rectangles_are_written_where_the_configuration_has_no_brush(client):
    polygons = IMAGE_CONFIG.replace("BrushLabels", "PolygonLabels")
    (item,) = predict(client, [point(12, 20)], config=polygons)["result"]
    assert item["type"] == "polygonlabels" and item["value"]["polygonlabels"] == ["cat"] and item["value"]["closed"]
    outline = np.array(item["value"]["points"]) * SIDE / 100
    assert (rasterize([outline], (SIDE, SIDE)) == make_mask(A)).all()
    rectangles = IMAGE_CONFIG.replace("BrushLabels", "Brush")
    (item,) = predict(client, [point(12, 20)], config=rectangles)["result"]
    assert (item["type"], item["from_name"]) == ("rectanglelabels", "tag3")
    x0, y0, x1, y1 = A
    assert item["value"] == {"x": x0 * 100 / SIDE, "y": y0 * 100 / SIDE, "width": (x1 - x0) * 100 / SIDE,
                             "height": (y1 - y0) * 100 / SIDE, "rotation": 0, "rectanglelabels": ["cat"]}  # fmt: skip


def test_bitmasks_are_written_as_png(client):
    (item,) = predict(client, [point(12, 20)], config=IMAGE_CONFIG.replace("BrushLabels", "BitmaskLabels"))["result"]
    assert (decode_data_url(item["value"]["imageDataURL"]) == np.where(make_mask(A), 255, 0)).all()


def test_an_empty_mask_has_no_region(client):
    result = predict(client, [point(12, 20, positive=0)])
    assert result["result"] == []


def test_pre_annotation_gives_automatic_masks_of_every_task_with_the_options_of_the_project(client):
    setup = {"project": "1.1700000000", "schema": IMAGE_CONFIG, "extra_params": '{"points_per_side": 8}'}
    assert client.post("/setup", json=setup).status_code == 200
    tasks = [{"id": n, "data": {"image": DATA_URL}} for n in (1, 2)]
    tasks.append({"id": 3, "data": {"image": "data:image/png;base64,AAAA"}})
    results = client.post("/predict", json=request(tasks=tasks)).json()["results"]
    for result in results[:2]:
        masks = [decode_brush(item["value"]["rle"], (SIDE, SIDE)) for item in result["result"]]
        assert any((mask == make_mask(A)).all() for mask in masks)
        assert any((mask == make_mask(B)).all() for mask in masks)
    assert "result" not in results[2] and "image" in results[2]["error"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "JSON"),
        (b"[]", 422, "an object"),
        (request([point(12, 20)], config="<View>"), 422, "not XML"),
        (request([point(12, 20)], config="<!DOCTYPE x [<!ENTITY a 'b'>]><View/>"), 422, "document type"),
        (request([point(12, 20)], config="<View/>"), 422, "no Image"),
        (request([point(12, 20)], config='<View><Image name="image" value="$image"/></View>'), 422, "no tool"),
        (request([point(12, 20, label="cow")]), 422, "'cow' is not one of BrushLabels"),
        (request([point(120, 20)]), 422, "outside the image"),
        (request([{"type": "keypointlabels", "value": {"x": "a", "y": 1}}]), 422, "'x' must be a number"),
        (request([{"type": "choices"}]), 422, "no key point"),
        (request([point(1, 1)], tasks=[{"id": 1, "data": {"text": "a"}}]), 422, "no field 'image'"),
        (request([point(1, 1)], event="dance"), 400, "unknown event"),
        (request([point(1, 1)], tasks=task_of("http://169.254.169.254/x.png")), 422, "not allowed"),
        (request([point(1, 1)], tasks=task_of("file:///etc/passwd")), 422, "http, https"),
        (request([point(1, 1)], tasks=task_of("/data/upload/x.png")), 422, "unknown; set LABEL"),
        (request([point(1, 1)], tasks=task_of("../../etc/passwd")), 404, "no file"),
    ],
)  # fmt: skip
def test_bad_requests_get_errors_in_the_tools_form(client, body, status, message):
    client.post("/setup", json={"project": "1", "hostname": ""})
    response = client.post("/predict", **({"content": body} if isinstance(body, bytes) else {"json": body}))
    assert response.status_code == status, response.text
    assert message in response.json()["error"]


@pytest.mark.parametrize("extra", ['{"grid": 3}', '{"points_per_side": "many"}', "{", "3", '{"box_nms_thresh": true}'])
def test_unknown_options_of_a_project_are_refused_at_setup(client, extra):
    response = client.post("/setup", json={"project": "1", "schema": IMAGE_CONFIG, "extra_params": extra})
    assert response.status_code == 422 and "extra_params" in response.json()["error"]


# videos


@contextmanager
def open_video_client(tmp_path, images, limits=None):
    write_lossless_clip(tmp_path / "clip.mkv", images)
    with open_protocol(label_studio, Sources(tmp_path), limits) as client:
        yield client


def moving(n, *, hidden=()):
    return [draw({} if number in hidden else {100: (8 + number, 16, 24 + number, 48)}) for number in range(n)]


def video_request(address="clip.mkv", **context):
    return request(config=VIDEO_CONFIG, tasks=[{"id": 9, "data": {"video": address}}], **context)


def send(client, **context):
    response = client.post("/predict", json=video_request(**context))
    assert response.status_code == 200, response.text
    (item,) = response.json()["results"][0]["result"]
    assert (item["from_name"], item["to_name"], item["origin"]) == ("box", "video", "manual") and item["id"]
    return item["type"], item["value"]


def click_item(x, y, *, positive=True):
    return {"type": "keypointlabels", "value": {"x": x * 100 / SIDE, "y": y * 100 / SIDE, "positive": positive}}


def poll(client, session):
    frames = []
    while True:
        kind, value = send(client, event="track_progress", session_id=session)
        assert kind == "track_progress"
        frames += value["frames"]
        if value["done"]:
            return frames, value


def test_video_rectangles_are_continued_and_disabled_while_the_object_is_hidden(tmp_path):
    key = {"frame": 2, "x": 9 * 100 / SIDE, "y": 25, "width": 25, "height": 50, "enabled": True, "rotation": 0,
           "time": 0.1}  # fmt: skip
    value = {"framesCount": 8, "duration": 0.8, "sequence": [key], "labels": ["Person"]}
    item = {"id": "abc", "type": "videorectangle", "from_name": "box", "to_name": "video", "value": value}
    with open_video_client(tmp_path, moving(8, hidden=(4, 5))) as client:
        response = client.post("/predict", json=video_request(result=[item]))
    (region,) = response.json()["results"][0]["result"]
    assert (region["id"], region["type"], region["from_name"]) == ("abc", "videorectangle", "box")
    found = region["value"]
    assert (found["framesCount"], found["duration"], found["labels"]) == (8, 0.8, ["Person"])
    assert found["sequence"][0] == key
    assert [(one["frame"], one["enabled"]) for one in found["sequence"]] == [
        (2, True), (3, True), (4, True), (5, False), (7, True), (8, True),
    ]  # fmt: skip
    last = found["sequence"][-1]
    assert last["x"] == pytest.approx(15 * 100 / SIDE) and last["width"] == 25 and last["time"] == pytest.approx(0.7)


def test_capabilities_list_prompts_and_targets(tmp_path):
    with open_video_client(tmp_path, moving(2)) as client:
        kind, value = send(client, event="capabilities")
    assert kind == "capabilities" and value["prompts"] == ["point", "box"]
    assert {"tag": "VideoRectangle", "output": "bbox", "features": ["track"]} in value["targets"]
    assert {"tag": "BitmaskLabels", "output": "mask"} in value["targets"]
    assert set(value["model_info"]) == {"name", "version"}


def test_prewarm_prepares_a_window_and_predict_uses_it(tmp_path):
    with open_video_client(tmp_path, moving(6)) as client:
        kind, value = send(client, event="prewarm", frame=2, window=2, direction="forward")
        assert (kind, value["status"], value["frame_count"]) == ("prewarm_ack", "ok", 6)
        assert sorted(value["cached"] + value["pending"]) == [1, 2, 3]
        kind, value = send(client, event="predict", time_ms=200, result=[click_item(15, 20)])
        assert kind == "bitmask" and (value["width"], value["height"]) == (SIDE, SIDE)
        assert (decode_data_url(value["imageDataURL"]) > 0).tolist() == make_mask((10, 16, 26, 48)).tolist()
        for _ in range(100):
            if send(client, event="prewarm", frame=2, window=2)[1]["cached"] == [1, 2, 3]:
                break
        else:
            pytest.fail("the window is never prepared")
        assert send(client, event="release") == ("release_ack", {"status": "released"})


def test_predict_without_a_prompt_has_no_result(tmp_path):
    with open_video_client(tmp_path, moving(2)) as client:
        response = client.post("/predict", json=video_request(event="predict", frame=1, result=[]))
    assert response.json()["results"][0]["result"] == []


def test_a_track_in_both_directions_gives_each_frame_once(tmp_path):
    with open_video_client(tmp_path, moving(7)) as client:
        kind, started = send(client, event="track", time_ms=300, direction="both", result=[click_item(15, 20)])
        assert kind == "track_started"
        assert (started["total_frames"], started["fps"], started["duration_ms"]) == (7, pytest.approx(10), 700)
        frames, value = poll(client, started["session_id"])
        assert (value["produced"], value["total"], value["error"]) == (7, 7, None)
        assert [frame["frame"] for frame in frames] == [3, 4, 5, 6, 2, 1, 0]
        assert [round(frame["time_ms"]) for frame in frames] == [300, 400, 500, 600, 200, 100, 0]
        for frame in frames:
            n = frame["frame"]
            assert (decode_data_url(frame["imageDataURL"]) > 0).tolist() == make_mask((8 + n, 16, 24 + n, 48)).tolist()
        again = send(client, event="track_progress", session_id=started["session_id"])
        assert again == ("track_progress", {"frames": [], "error": "session not found", "done": True})


def test_a_track_ends_after_three_frames_without_the_object_or_with_a_mask_of_the_whole_frame(tmp_path):
    images = moving(9, hidden=(2, 5, 6, 7))
    with open_video_client(tmp_path, images) as client:
        _, started = send(client, event="track", frame=1, result=[click_item(15, 20)])
        frames, value = poll(client, started["session_id"])
    assert [frame["frame"] for frame in frames] == [0, 1, 3, 4] and value["error"] is None
    images = [*moving(3), draw({100: (0, 0, SIDE, SIDE)}), *moving(1)]
    with open_video_client(tmp_path, images) as client:
        _, started = send(client, event="track", frame=1, max_frames=10, result=[click_item(15, 20)])
        frames, _ = poll(client, started["session_id"])
    assert [frame["frame"] for frame in frames] == [0, 1, 2]


def test_tracks_are_limited_cancelled_and_refused_in_the_documented_form(tmp_path):
    with open_video_client(tmp_path, moving(60), Limits(sessions=1)) as client:
        _, started = send(client, event="track", frame=1, max_duration_ms=5900, result=[click_item(15, 20)])
        kind, value = send(client, event="track", frame=1, result=[click_item(15, 20)])
        assert kind == "track_busy" and value.pop("error")
        assert value == {"active_or_queued": 1, "resident_sessions": 1, "max_sessions": 1}
        cancelled = send(client, event="track_cancel", session_id=started["session_id"])
        assert cancelled == ("track_cancel_ack", {"status": "cancelled"})
        cancelled = send(client, event="track_cancel", session_id=started["session_id"])
        assert cancelled == ("track_cancel_ack", {"status": "not_found"})
        kind, value = send(client, event="track", frame=1, result=[click_item(99, 20)])
        assert kind == "track_error" and value["done"] is True and "outside" in value["error"]


def test_a_video_as_data_is_opened_and_a_broken_one_is_an_error(tmp_path):
    content = write_lossless_clip(tmp_path / "a.mkv", moving(3)).read_bytes()
    address = f"data:video/x-matroska;base64,{base64.b64encode(content).decode()}"
    with open_protocol(label_studio) as client:
        response = client.post(
            "/predict", json=video_request(address, event="predict", frame=3, result=[click_item(15, 20)])
        )
        (item,) = response.json()["results"][0]["result"]
        assert (decode_data_url(item["value"]["imageDataURL"]) > 0).tolist() == make_mask((10, 16, 26, 48)).tolist()
        response = client.post("/predict", json=video_request("data:video/mp4;base64,AAAA", event="prewarm"))
        assert response.status_code == 422 and response.json()["error"]
