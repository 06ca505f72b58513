"""Requests as X-AnyLabeling sends them, and responses as it reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from masklet.masks import polygons
from masklet.masks.masks import Masks
from masklet.prompts import POSITIVE
from masklet.serve.limits import Limits
from masklet.serve.protocols import x_anylabeling
from masklet.serve.protocols.x_anylabeling.marks import read_marks
from masklet.serve.protocols.x_anylabeling.shapes import make_shapes
from support.gray_world import draw_boxes
from support.tool_protocols import open_protocol
from support.two_boxes import BOX, IMAGE, OTHER_BOX, encode_base64, fill

POINT = {"type": "point", "data": [20, 12], "label": 1}
OTHER_POINT = {"type": "point", "data": [40, 20], "label": 1}
MOVING = [draw_boxes({100: (10 + 2 * n, 8, 20 + 2 * n, 18)}) for n in range(5)]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with open_protocol(x_anylabeling) as client:
        yield client


def predict(client: TestClient, marks: Any, model: str = "masklet", **params: Any) -> Any:
    params = {"conf_threshold": 0.0, "iou_threshold": 0.0, "epsilon_factor": 0.001, "marks": marks, **params}
    body = {"model": model, "image": f"data:image/png;base64,{encode_base64()}", "params": params}
    return client.post("/v1/predict", json=body)


def draw(shapes: list[dict[str, Any]]) -> Any:
    """Draw shapes as the program does: polygons whose last point closes them."""
    for shape in shapes:
        assert shape["shape_type"] == "polygon" and shape["points"][0] == shape["points"][-1]
    return polygons.rasterize([shape["points"] for shape in shapes], IMAGE.shape[:2])


def test_models_have_the_widgets_of_the_program(client: TestClient) -> None:
    response = client.get("/v1/models").json()
    assert response["success"] is True
    models = response["data"]
    assert [models[name]["batch_processing_mode"] for name in models] == [None, "default", "video"]
    widgets = {widget["name"]: widget["value"] for widget in models["masklet"]["widgets"]}
    assert {"button_add_point", "button_remove_point", "button_add_rect", "button_finish_object"} <= {*widgets}
    assert widgets["mask_fineness_slider"] == 10
    info = client.get("/v1/models/masklet/info").json()["data"]
    assert info == {"model_id": "masklet", **models["masklet"]}
    health = client.get("/health").json()
    assert health["status"] == "healthy" and health["models_loaded"] == 3 and health["timestamp"].endswith("Z")


def test_points_give_a_polygon_without_a_label(client: TestClient) -> None:
    data = predict(client, [POINT]).json()["data"]
    (shape,) = data["shapes"]
    assert data["replace"] is False and data["description"] == ""
    assert shape["label"] == "AUTOLABEL_OBJECT" and 0 <= shape["score"] <= 1 and shape["group_id"] is None
    assert np.array_equal(draw([shape]), fill(BOX))


def test_each_rectangle_is_an_object(client: TestClient) -> None:
    marks = [{"type": "rectangle", "data": [31, 21, 9, 7], "label": 1},
             {"type": "rectangle", "data": [34, 4, 51, 36], "label": 1}]  # fmt: skip
    first, second = predict(client, marks).json()["data"]["shapes"]
    assert np.array_equal(draw([first]), fill(BOX)) and np.array_equal(draw([second]), fill(OTHER_BOX))


@pytest.mark.slow
def test_everything_is_segmented_without_marks(client: TestClient) -> None:
    data = predict(client, None, "masklet-everything").json()["data"]
    found = {tuple(map(tuple, draw([shape]).nonzero())) for shape in data["shapes"]}
    assert {tuple(map(tuple, fill(box).nonzero())) for box in (BOX, OTHER_BOX)} <= found
    assert "replace" not in data  # the user's choice of the program decides


def test_nothing_is_marked(client: TestClient) -> None:
    assert predict(client, []).json() == {"success": True, "data": {"shapes": [], "description": ""}}


def test_marks_become_prompts() -> None:
    rectangle = {"type": "rectangle", "data": [30, 5, 50, 35], "label": 1}
    outside = {"type": "point", "data": [1, 1], "label": 0}
    assert [prompt.point_count for prompt in read_marks([POINT, OTHER_POINT, outside]).values()] == [3]
    inside, other = read_marks([rectangle, OTHER_POINT, POINT]).values()
    assert inside.point_count == 3 and other.point_count == 1 and other.labels.tolist() == [POSITIVE]
    (one,) = read_marks([rectangle, outside]).values()
    assert one.point_count == 3 and one.labels.tolist() == [2, 3, 0]


def test_components_share_a_group_and_holes_stay_open() -> None:
    ring = fill((5, 5, 25, 25)) & ~fill((10, 10, 15, 15))
    whole = ring | fill((40, 5, 50, 15)) | fill((55, 30, 57, 32))  # with a speck
    masks = Masks.from_binary(np.stack([whole, fill(BOX)]), object_ids=[4, 7])
    shapes = make_shapes(masks, 0.0)
    assert [shape["group_id"] for shape in shapes] == [4, 4, None]
    assert np.array_equal(draw(shapes[:2]), ring | fill((40, 5, 50, 15)))
    rows, columns = np.ogrid[:100, :100]
    disc = Masks.from_binary(((rows - 50) ** 2 + (columns - 50) ** 2 < 1600)[None])
    counts = [len(make_shapes(disc, factor)[0]["points"]) for factor in (0.0, 0.001, 0.01)]
    assert counts == sorted(counts, reverse=True) and counts[0] > 2 * counts[2]


@pytest.mark.parametrize(
    ("changes", "code", "part"),
    [
        ({"model": "yolo"}, "MODEL_NOT_FOUND", "'yolo' is not loaded"),
        ({"image": "AAAA"}, "INVALID_IMAGE", ""),
        ({"image": "?"}, "INVALID_IMAGE", "base64"),
        ({"params": {"marks": [{"type": "point", "data": [900, 1]}]}}, "INFERENCE_ERROR", "outside the image"),
        ({"params": {"marks": [{"type": "circle", "data": [1, 2]}]}}, "INFERENCE_ERROR", "'circle'"),
        ({"params": {"marks": [{"type": "point", "data": ["x", 2]}]}}, "INFERENCE_ERROR", "number"),
        ({"params": {"text_prompt": "cup"}}, "INFERENCE_ERROR", "no text"),
        ({"params": []}, "INFERENCE_ERROR", "params"),
    ],
)
def test_errors_have_the_form_of_the_program(client: TestClient, changes: Any, code: str, part: str) -> None:
    body = {"model": "masklet", "image": encode_base64(), "params": {"marks": [POINT]}, **changes}
    response = client.post("/v1/predict", json=body)
    error = response.json()["error"]
    assert response.status_code == 200 and response.json()["success"] is False
    assert error["code"] == code and part in error["message"] and error["details"]["code"]


def open_video(client: TestClient, frames: list[Any] = MOVING) -> str:
    body = {"model": "masklet-video", "frames": [encode_base64(frame) for frame in frames], "start_frame_index": 0}
    data = client.post("/v1/video/init", json=body).json()["data"]
    assert data["num_frames"] == len(frames)
    return str(data["session_id"])


def prompt_video(client: TestClient, session: str, frame: int, x: float, y: float, obj_id: int = 10_000) -> Any:
    """Prompt as the program does: with fractions of the image."""
    point = {"points": [[x / 60, y / 40]], "point_labels": [1], "obj_id": obj_id, "frame_index": frame}
    params = {"conf_threshold": 0.0, "epsilon_factor": 0.001}
    body = {"session_id": session, "model": "masklet-video", **point, "params": params}
    return client.post("/v1/video/prompt", json=body).json()


def stream(client: TestClient, session: str, **more: Any) -> list[dict[str, Any]]:
    body = {"session_id": session, "model": "masklet-video", **more}
    response = client.post("/v1/video/propagate/stream", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    return [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]


def test_a_video_is_prompted_and_tracked(client: TestClient) -> None:
    session = open_video(client)
    data = prompt_video(client, session, 1, 15, 12)["data"]
    assert data["frame_index"] == 1 and data["num_objects"] == 1
    assert np.array_equal(draw(data["masks"]), fill((12, 8, 22, 18)))
    events = stream(client, session, start_frame=1)
    assert events[0] == {"type": "started", "total_frames": 5, "start_frame_index": 1}
    assert [event["current_frame"] for event in events[1:-1]] == [1, 2, 3, 4]
    results = events[-1]["results"]
    assert [*results] == ["1", "2", "3", "4"]
    for frame, result in results.items():
        left = 10 + 2 * int(frame)
        assert np.array_equal(draw(result["masks"]), fill((left, 8, left + 10, 18)))


def test_a_range_may_begin_before_the_prompted_frame(client: TestClient) -> None:
    session = open_video(client)
    prompt_video(client, session, 3, 20, 12, obj_id=1)
    results = stream(client, session, start_frame=1, end_frame=2)[-1]["results"]
    assert sorted(results) == ["1", "2"] and all(result["masks"] for result in results.values())


def test_what_the_program_prompts_after_a_track_is_another_object(client: TestClient) -> None:
    frames = [draw_boxes({100: (5, 5, 15, 15), 200: (30, 5, 40, 15)})] * 3
    session = open_video(client, frames)
    prompt_video(client, session, 0, 10, 10)
    assert len(stream(client, session, start_frame=0)[-1]["results"]) == 3
    prompt_video(client, session, 1, 35, 10)
    results = stream(client, session, start_frame=1)[-1]["results"]
    assert np.array_equal(draw(results["2"]["masks"]), fill((30, 5, 40, 15)))


def wait_for_task(client: TestClient, session: str) -> dict[str, Any]:
    """Track in the background, and return the status at the end."""
    body = {"session_id": session, "model": "masklet-video"}
    status: dict[str, Any] = client.post("/v1/video/propagate", json=body).json()["data"]
    for _ in range(10_000):
        status = client.get(f"/v1/video/status/{status['task_id']}").json()["data"]
        if status["status"] != "processing":
            break
    return status


def test_a_track_in_the_background_has_a_status(client: TestClient) -> None:
    session = open_video(client)
    failed = wait_for_task(client, session)
    assert failed["status"] == "error" and "nothing to track" in failed["message"]
    prompt_video(client, session, 0, 12, 12)
    status = wait_for_task(client, session)
    task = status["task_id"]
    assert status["status"] == "completed" and len(status["results"]) == 5 and status["total_frames"] == 5
    assert client.post(f"/v1/video/cancel/{task}").json()["data"]["status"] == "completed"
    assert client.post(f"/v1/video/cleanup/{session}", params={"model": "masklet-video"}).json()["success"]
    for path in (f"/v1/video/cancel/{task}", f"/v1/video/cleanup/{session}"):
        assert client.post(path).json()["error"]["code"] == "SESSION_NOT_FOUND"


def test_errors_of_videos(client: TestClient) -> None:
    session = open_video(client)
    (event,) = [one for one in stream(client, session) if one["type"] == "error"]
    assert "nothing to track" in event["message"]
    assert "fractions" in prompt_video(client, session, 0, 400, 12)["error"]["message"]
    assert "no frame 9" in prompt_video(client, session, 9, 12, 12)["error"]["message"]
    body = {"session_id": session, "model": "masklet-video", "points": [[]], "point_labels": [1]}
    assert "fractions" in client.post("/v1/video/prompt", json=body).json()["error"]["message"]
    body = {"session_id": session, "model": "masklet-video", "frame_index": 0, "text_prompt": "cup"}
    assert "no text" in client.post("/v1/video/prompt", json=body).json()["error"]["message"]
    assert prompt_video(client, "unknown", 0, 1, 1)["error"]["code"] == "SESSION_NOT_FOUND"
    init = {"model": "masklet", "frames": []}
    assert client.post("/v1/video/init", json=init).json()["error"]["code"] == "MODEL_NOT_FOUND"
    init = {"model": "masklet-video", "frames": [3]}
    assert "frame 0" in client.post("/v1/video/init", json=init).json()["error"]["message"]


def test_a_full_server_asks_to_repeat_the_request() -> None:
    with open_protocol(x_anylabeling, limits=Limits(sessions=1)) as client:
        open_video(client)
        body = {"model": "masklet-video", "frames": [encode_base64()]}
        response = client.post("/v1/video/init", json=body)
        assert response.status_code == 503 and response.headers["retry-after"] and "detail" in response.json()
