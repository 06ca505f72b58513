"""The API of `masklet serve` over HTTP: images, prompts, outputs, automatic masks, sessions, streams and errors."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from masklet.errors import EXIT_STATUS
from masklet.masks import rle
from masklet.masks.polygons import rasterize
from masklet.serve.app import build_app
from masklet.serve.limits import Limits
from masklet.serve.sources import Sources
from support.api_server import BOX, IMAGE, OTHER_BOX, ApiClient, encode_png, fill, serve_api
from support.gray_world import draw_boxes

CLICK = {"points": [[15, 10]]}
FRAMES = [encode_png(draw_boxes({100: (5 + step, 5, 20 + step, 20)})) for step in range(4)]
LIMITS = Limits(body_bytes=200_000, pixels=10_000, objects=4, frames=6, sessions=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    (root / "clip").mkdir()
    for number, frame in enumerate(FRAMES):
        (root / "clip" / f"{number}.png").write_bytes(frame)
    return root


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[ApiClient]:
    with serve_api(limits=LIMITS, sources=Sources(folder)) as (_, client):
        yield client


@pytest.fixture(scope="module")
def key(client: ApiClient) -> str:
    return client.send_image(encode_png())


@pytest.fixture
def session(client: ApiClient) -> Iterator[str]:
    session = client.open_frames(FRAMES)
    yield session
    client.request("DELETE", f"/v1/videos/{session}")


def decode(mask: dict[str, Any]) -> Any:
    if "rle" in mask:
        return rle.decode(mask["rle"])
    if "png" in mask:
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(mask["png"])))) > 0
    return rasterize([np.array(polygon) for polygon in mask["polygons"]], IMAGE.shape[:2])


@pytest.mark.parametrize("output", ["rle", "polygons", "png"])
def test_a_click_in_every_form_of_masks(client: ApiClient, key: str, output: str) -> None:
    found = client.ask("/v1/predict", {"image": key, "objects": [CLICK], "output": output})
    (mask,) = found["masks"]
    assert (decode(mask) == fill(BOX)).all() and (found["width"], found["height"]) == (60, 40)
    assert mask["area"] == fill(BOX).sum() and mask["box"] == [*map(float, BOX)] and mask["object"] == 1


@pytest.mark.parametrize(
    ("prompt", "box"),
    [
        ({"box": [10, 8, 30, 20]}, BOX),
        ({"points": [[15, 10], [40, 10]], "labels": [1, 0]}, BOX),
        ({"mask": rle.encode(fill(OTHER_BOX))}, OTHER_BOX),
        ({"mask": base64.b64encode(encode_png(np.repeat(fill(BOX)[..., None] * np.uint8(255), 3, 2))).decode()}, BOX),
    ],
)
def test_prompts_of_every_kind(client: ApiClient, key: str, prompt: dict[str, Any], box: Any) -> None:
    (mask,) = client.ask("/v1/predict", {"image": key, "objects": [prompt]})["masks"]
    assert (decode(mask) == fill(box)).all()


def test_objects_have_ids_and_labels_and_the_image_may_come_along(client: ApiClient) -> None:
    objects = [{**CLICK, "id": 7, "label": "cup"}, {"points": [[40, 10]], "id": 3}]
    data = base64.b64encode(encode_png()).decode()
    found = client.ask("/v1/predict", {"data": data, "objects": objects, "multimask": False, "output": "none"})
    assert [(mask["object"], mask.get("label")) for mask in found["masks"]] == [(7, "cup"), (3, None)]
    three = client.ask("/v1/predict", {"image": found["image"], "objects": objects[:1], "multimask": True})
    assert [mask["object"] for mask in three["masks"]] == [7, 7, 7]


def test_automatic_masks(client: ApiClient, key: str) -> None:
    found = client.ask("/v1/generate", {"image": key, "options": {"points_per_side": 8}, "output": "polygons"})
    assert sorted(mask["area"] for mask in found["masks"]) == sorted([int(fill(BOX).sum()), int(fill(OTHER_BOX).sum())])
    for mask in found["masks"]:
        assert mask["area"] == decode(mask).sum()


def test_the_model_the_limits_and_an_image(client: ApiClient, key: str) -> None:
    assert json.loads(client.get("/v1/model").body)["runtime"] == "fake"
    assert json.loads(client.get("/v1/limits").body)["objects"] == LIMITS.objects
    assert json.loads(client.get(f"/v1/images/{key}").body) == {"image": key, "width": 60, "height": 40}
    assert client.get(f"/v1/images/{'0' * 32}").code == "input-not-found"


def test_a_session_is_prompted_tracked_corrected_and_deleted(client: ApiClient, session: str) -> None:
    path = f"/v1/videos/{session}"
    prompt = {"frame": 1, "objects": [{"points": [[10, 10]], "id": 5, "label": "a"}]}
    assert [mask["box"] for mask in client.ask(f"{path}/prompts", prompt)["masks"]] == [[6, 5, 21, 20]]
    response = client.post(f"{path}/propagate", {"direction": "both", "output": "none"})
    lines = [json.loads(line) for line in response.body.splitlines()]
    assert response.headers["content-type"].startswith("application/x-ndjson")
    assert [line["frame"] for line in lines[:-1]] == [1, 2, 3, 0] and lines[-1] == {"done": True, "frames": 4}
    assert [line["masks"][0]["box"][0] for line in lines[:-1]] == [6, 7, 8, 5]
    assert json.loads(client.get(path).body)["objects"] == [5]
    (mask,) = json.loads(client.get(f"{path}/frames/3?output=png").body)["masks"]
    assert decode(mask).sum() == 225 and mask["label"] == "a"
    assert client.request("DELETE", f"{path}/prompts/1/5").status == 204
    assert client.request("DELETE", f"{path}/objects/5").code == "unknown-object"
    assert client.post(f"{path}/propagate", {}).code == "no-prompts"


def test_frames_as_server_sent_events(client: ApiClient, session: str) -> None:
    client.ask(f"/v1/videos/{session}/prompts", {"frame": 0, "objects": [{"box": [5, 5, 20, 20]}]})
    response = client.post(f"/v1/videos/{session}/propagate", {"stop": 2, "output": "none"}, Accept="text/event-stream")
    events = [event.split(b"\n") for event in response.body.strip().split(b"\n\n")]
    assert [event[0] for event in events] == [b"event: frame", b"event: frame", b"event: done"]
    assert json.loads(events[0][1].removeprefix(b"data: "))["frame"] == 0
    assert json.loads(client.post(f"/v1/videos/{session}/cancel", {}).body) == {"cancelled": False}


def test_a_folder_below_the_root_is_a_video(client: ApiClient, folder: Path) -> None:
    found = client.ask("/v1/videos/open", {"path": "clip"})
    assert found["frames"] == 4
    assert client.request("DELETE", f"/v1/videos/{found['session']}").status == 204
    assert client.request("DELETE", f"/v1/videos/{found['session']}").code == "session-gone"
    (folder / "link").symlink_to("/etc")
    (folder / "text.txt").write_text("no video")
    for name in ("../clip", "/etc/passwd", "link/passwd", "link", "clip/../clip", "clip\\0.png", "none", "clip\0", ""):
        assert client.post("/v1/videos/open", {"path": name}).code == "input-not-found", name
    refused = client.post("/v1/videos/open", {"path": "text.txt"})
    assert refused.code == "unsupported-format" and str(folder).encode() not in refused.body
    assert client.post("/v1/videos/open", {"url": "http://127.0.0.1/clip.mp4"}).code == "url-refused"


@pytest.mark.parametrize(
    ("path", "record", "status", "code"),
    [
        ("/v1/predict", {"objects": [CLICK]}, 400, "bad-request"),
        ("/v1/predict", {"image": "x", "data": "x", "objects": [CLICK]}, 400, "bad-request"),
        ("/v1/predict", {"image": "x", "objects": [CLICK]}, 404, "input-not-found"),
        ("/v1/predict", {"data": "?", "objects": [CLICK]}, 422, "bad-image"),
        ("/v1/predict", {"data": "", "objects": [CLICK]}, 422, "input-empty"),
        ("/v1/predict", {"image": "KEY", "objects": []}, 422, "bad-request"),
        ("/v1/predict", {"image": "KEY", "objects": [CLICK], "outptu": "rle"}, 422, "bad-request"),
        ("/v1/predict", {"image": "KEY", "objects": [CLICK], "output": "svg"}, 422, "bad-request"),
        ("/v1/predict", {"image": "KEY", "objects": [{"points": [[99, 10]]}]}, 422, "bad-prompt"),
        ("/v1/predict", {"image": "KEY", "objects": [{}]}, 422, "bad-prompt"),
        ("/v1/predict", {"image": "KEY", "objects": [CLICK] * 5}, 422, "bad-prompt"),
        ("/v1/predict", {"image": "KEY", "objects": [{**CLICK, "id": 2}, {**CLICK, "id": 2}]}, 422, "bad-prompt"),
        ("/v1/predict", {"image": "KEY", "objects": [{"mask": {"size": [9999, 9999], "counts": "0"}}]}, 422, "bad-rle"),
        ("/v1/generate", {"image": "KEY", "options": {"points_per_side": 999}}, 422, "bad-request"),
        ("/v1/videos/open", {}, 400, "bad-request"),
        ("/v1/videos/none/prompts", {"frame": 0, "objects": [CLICK]}, 410, "session-gone"),
        ("/v1/videos/none/propagate", {}, 410, "session-gone"),
        ("/v1/videos/none/cancel", {}, 410, "session-gone"),
        ("/none", {}, 404, "not-found"),
    ],
)
def test_wrong_requests_are_refused(
    client: ApiClient, key: str, path: str, record: dict[str, Any], status: int, code: str
) -> None:
    given = {name: key if value == "KEY" else value for name, value in record.items()}
    response = client.post(path, given)
    problem = json.loads(response.body)
    assert (response.status, response.code) == (status, code) and problem["status"] == status, problem
    assert code in EXIT_STATUS or status == 404


def test_invalid_fields_are_named_by_pointers(client: ApiClient, key: str) -> None:
    response = client.post("/v1/predict", {"image": key, "objects": [{"points": [[1, "x"]]}]})
    (error,) = json.loads(response.body)["errors"]
    assert error["pointer"] == "/objects/0/points/0/1" and "number" in error["detail"]


def test_bodies_of_another_type_or_size_are_refused(client: ApiClient) -> None:
    assert client.request("POST", "/v1/predict", b"{", Content_Type="application/json").status == 400
    assert client.request("POST", "/v1/predict", b"{}", Content_Type="text/plain").status == 415
    assert client.request("POST", "/v1/videos/frames", b"a=b", Content_Type="text/plain").status == 415
    assert client.request("POST", "/v1/images", bytes(200_001)).code == "body-too-large"
    assert client.request("POST", "/v1/images", b"no image").code == "unsupported-format"
    large = io.BytesIO()
    Image.new("RGB", (101, 100)).save(large, "PNG")
    assert client.request("POST", "/v1/images", large.getvalue()).code == "too-many-pixels"
    assert client.request("PUT", "/v1/images", b"").code == "method-not-allowed"


def test_sessions_are_limited(client: ApiClient) -> None:
    open_ones = [client.open_frames(FRAMES[:1]) for _ in range(2)]
    response = client.post("/v1/videos/open", {"path": "clip"})
    assert (response.status, response.code) == (503, "overloaded") and response.headers["retry-after"] == "1"
    for session in open_ones:
        assert client.request("DELETE", f"/v1/videos/{session}").status == 204
    with pytest.raises(AssertionError, match="files is 6"):
        client.open_frames(FRAMES[:1] * 7)


def test_one_socket_for_images_and_videos(client: ApiClient, session: str) -> None:
    with client.connect(max_size=None) as socket:

        def ask(record: Any) -> Any:
            socket.send(record if isinstance(record, bytes) else json.dumps(record))
            return json.loads(socket.recv(timeout=30))

        key = ask(encode_png())["image"]
        reply = ask({"id": 1, "op": "predict", "image": key, "objects": [CLICK]})
        assert reply["re"] == 1 and (decode(reply["masks"][0]) == fill(BOX)).all()
        prompt = {"op": "prompt", "session": session, "frame": 0, "objects": [{"points": [[10, 10]]}]}
        assert ask({"id": 2, **prompt})["masks"][0]["area"] == 225
        first = ask({"id": 3, "op": "propagate", "session": session, "output": "none"})
        rest = [json.loads(socket.recv(timeout=30)) for _ in range(4)]
        assert [one.get("frame") for one in [first, *rest]] == [0, 1, 2, 3, None] and rest[-1]["frames"] == 4
        assert ask({"id": 4, "op": "remove_object", "session": session, "object": 1}) == {"re": 4}
        for wrong, code in [
            ({"id": 5, "op": "none"}, "bad-request"),
            ({"id": "x", "op": "predict"}, "bad-request"),
            ([], "bad-request"),
            ({"id": 6, "op": "predict", "image": key}, "bad-request"),
            ({"id": 7, "op": "predict", "image": "none", "objects": [CLICK]}, "input-not-found"),
            ({"id": 8, "op": "prompt", "frame": 0, "objects": [CLICK]}, "bad-request"),
            ({"id": 9, "op": "remove_object", "session": session, "object": "1"}, "bad-request"),
            (b"no image", "unsupported-format"),
        ]:
            assert ask(wrong)["problem"]["code"] == code, wrong
        assert ask({"id": 10, "op": "session", "session": session})["frames"] == 4
        assert ask({"id": 11, "op": "delete", "session": session}) == {"re": 11}
        assert ask({"id": 12, "op": "cancel", "session": session})["problem"]["code"] == "session-gone"


def test_the_openapi_document_describes_every_operation(client: ApiClient) -> None:
    document = json.loads(client.get("/openapi.json").body)
    operations = [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    names = {name for name, _ in operations}
    assert {"POST /v1/predict", "POST /v1/videos/{session}/propagate", "DELETE /v1/videos/{session}"} <= names
    for name, operation in operations:
        assert operation["summary"] and operation["tags"], name
        if name.split()[1].startswith("/v1"):
            assert operation["description"] and {"401", "422", "503"} <= operation["responses"].keys(), name
            for status, response in operation["responses"].items():
                assert status < "300" or [*response["content"]] == ["application/problem+json"], (name, status)
    for name, schema in document["components"]["schemas"].items():
        if name.endswith(("Request", "Prompt")):
            assert schema["additionalProperties"] is False, name
    guide = (Path(__file__).resolve().parents[2] / "docs/serving.md").read_text()
    assert [name for name in names if name.split()[1].startswith("/v1") and f"`{name}`" not in guide] == []
    assert build_app.__module__ == "masklet.serve.app"
