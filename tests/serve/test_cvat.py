"""CVAT's serverless functions: requests in the documented form, for images whose masks are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from starlette.testclient import TestClient

from masklet.http.security import TokenAccess
from masklet.masks.polygons import rasterize
from masklet.segmenter import Segmenter
from masklet.serve.app import build_app
from masklet.serve.limits import Limits
from masklet.serve.metrics import Metrics
from masklet.serve.protocols import cvat, load_protocol
from masklet.serve.service import Service
from support.gray_world import GrayWorld
from support.tool_protocols import SIDE, draw, encode_png, make_mask, open_protocol

A, B = (8, 16, 24, 48), (40, 4, 60, 20)  # boxes of two objects
IMAGE = encode_png(draw({100: A, 200: B}))


@pytest.fixture(scope="module")
def client():
    with open_protocol(cvat) as client:
        yield client


def invoke(client, kind, **body):
    """Call a function as CVAT does through nuclio's dashboard."""
    headers = {"x-nuclio-function-name": f"masklet-{kind}", "x-nuclio-path": "/", "x-nuclio-project-name": "cvat",
               "x-nuclio-function-namespace": "nuclio", "X-Nuclio-Invoke-Timeout": "120s"}  # fmt: skip
    response = client.post("/api/function_invocations", json=body, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


def moving(step, *, hidden=False):
    return encode_png(draw({} if hidden else {100: (8 + step, 16, 24 + step, 48), 200: B}))


def test_the_functions_are_listed_as_cvat_reads_them(client):
    functions = client.get("/api/functions").json()
    assert set(functions) == {"masklet-interactor", "masklet-tracker", "masklet-detector"}
    for name, function in functions.items():
        meta = function["metadata"]
        kind = meta["annotations"]["type"]
        assert meta["name"] == name == f"masklet-{kind}"
        assert function["spec"]["description"] and function["status"]["httpPort"]
        labels = json.loads(meta["annotations"]["spec"] or "[]")
        assert [label["name"] for label in labels] == (["object"] if kind == "detector" else [])
        assert int(meta["annotations"]["version"]) == 2
        assert client.get(f"/api/functions/{name}").json() == function
    interactor = functions["masklet-interactor"]["metadata"]["annotations"]
    assert (int(interactor["min_pos_points"]), int(interactor["min_neg_points"])) == (1, 0)
    assert interactor["startswith_box_optional"] is True
    assert client.get("/api/functions/other").status_code == 404


def test_an_interaction_gives_the_mask_as_rows(client):
    response = invoke(client, "interactor", image=IMAGE, pos_points=[[12, 20]], neg_points=[[50, 10]], obj_bbox=None)
    assert set(response) == {"mask"} and response["mask"] == make_mask(A).astype(int).tolist()
    response = invoke(client, "interactor", image=IMAGE, pos_points=[], neg_points=[], obj_bbox=[[40, 4], [60, 20]])
    assert response["mask"] == make_mask(B).astype(int).tolist()
    response = client.post(
        "/interactor", json={"image": IMAGE, "pos_points": [[12, 20]], "neg_points": [], "obj_bbox": []}
    )
    assert response.json()["mask"] == make_mask(A).astype(int).tolist()


def test_shapes_are_followed_from_frame_to_frame_with_states(client):
    polygon = [40.0, 4.0, 60.0, 4.0, 60.0, 20.0, 40.0, 20.0]
    first = invoke(client, "tracker", image=moving(0), shapes=[[*map(float, A)], polygon], states=[None, None])
    assert first["shapes"] == [[*A], polygon]
    assert json.loads(json.dumps(first["states"])) == first["states"]
    second = invoke(client, "tracker", image=moving(3), shapes=first["shapes"], states=first["states"])
    assert second["shapes"][0] == [11, 16, 27, 48]
    assert (rasterize([second["shapes"][1]], (SIDE, SIDE)) == make_mask(B)).all()
    third = invoke(client, "tracker", image=moving(5), shapes=[], states=second["states"][:1])
    assert third["shapes"] == [[13, 16, 29, 48]]


def test_a_shape_whose_object_is_hidden_stays_where_it_was(client):
    states = invoke(client, "tracker", image=moving(0), shapes=[[*A]], states=[])["states"]
    moved = invoke(client, "tracker", image=moving(2), shapes=[[*A]], states=states)
    hidden = invoke(client, "tracker", image=moving(2, hidden=True), shapes=[[*A]], states=moved["states"])
    assert hidden["shapes"] == moved["shapes"] == [[10, 16, 26, 48]]
    again = invoke(client, "tracker", image=moving(4), shapes=[[*A]], states=hidden["states"])
    assert again["shapes"] == [[12, 16, 28, 48]]


def test_new_shapes_and_shapes_with_a_state_may_be_in_one_request(client):
    states = invoke(client, "tracker", image=moving(0), shapes=[[*A]], states=[None])["states"]
    response = invoke(client, "tracker", image=moving(2), shapes=[[*B], [*A]], states=[None, *states])
    assert response["shapes"] == [[*B], [10, 16, 26, 48]]
    assert response["states"][1] == states[0] != response["states"][0]


def test_the_detector_gives_masks_with_polygons(client):
    found = invoke(client, "detector", image=IMAGE, threshold=0.5)
    masks = []
    for item in found:
        assert (item["label"], item["type"], item["attributes"]) == ("object", "mask", [])
        assert 0 <= item["confidence"] <= 1
        *flat, left, top, right, bottom = item["mask"]
        mask = np.zeros((SIDE, SIDE), bool)
        mask[top : bottom + 1, left : right + 1] = np.reshape(flat, (bottom - top + 1, right - left + 1))
        assert (rasterize([item["points"]], mask.shape) == mask).all()
        masks.append(mask)
    assert any((mask == make_mask(A)).all() for mask in masks) and any((mask == make_mask(B)).all() for mask in masks)


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/interactor", {"pos_points": [[1, 1]]}, 422, "no field 'image'"),
        ("/interactor", {"image": "!", "pos_points": [[1, 1]]}, 422, "base64"),
        ("/interactor", {"image": IMAGE}, 422, "no point and no box"),
        ("/interactor", {"image": IMAGE, "pos_points": [[1, 999]]}, 422, "outside the image"),
        ("/interactor", {"image": IMAGE, "pos_points": "1"}, 422, "'pos_points' must be a list"),
        ("/tracker", {"image": IMAGE, "shapes": [[1, 2, 3]]}, 422, "pairs"),
        ("/tracker", {"image": IMAGE, "shapes": ["a"]}, 422, "'points' must be a list"),
        ("/tracker", {"image": IMAGE, "states": [{"session": "x", "object": 1}]}, 410, "no video session"),
        ("/tracker", {"image": IMAGE, "states": [3]}, 422, "an object"),
        ("/tracker", {"image": IMAGE, "states": [None]}, 422, "'points' must be a list"),
        ("/detector", {"image": IMAGE, "threshold": 7}, 422, "pred_iou_thresh"),
        ("/detector", [], 422, "an object"),
    ],
)
def test_bad_requests_get_errors_in_the_tools_form(client, path, body, status, message):
    response = client.post(path, json=body)
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"} and message in response.json()["error"]


def test_a_call_of_an_unknown_function_and_a_frame_of_another_size_are_refused(client):
    response = client.post("/api/function_invocations", json={}, headers={"x-nuclio-function-name": "interactor"})
    assert response.status_code == 404 and "'interactor'" in response.json()["error"]
    states = invoke(client, "tracker", image=moving(0), shapes=[[*A]], states=[None])["states"]
    small = encode_png(draw({100: A})[:32])
    response = client.post("/tracker", json={"image": small, "shapes": [[*A]], "states": states})
    assert response.status_code == 422 and "size" in response.json()["error"]


def test_the_dashboard_is_also_served_where_cvat_looks_for_it():
    service = Service(lambda: Segmenter(GrayWorld()))
    token = "token-of-the-test-0123456789"
    app = build_app(service, TokenAccess(token=token), Metrics(), {"cvat": load_protocol("cvat")}, set())
    with TestClient(app, "http://localhost") as client:
        service.thread.wait_until_loaded()
        refused = client.get("/api/functions")
        assert refused.status_code == 401 and set(refused.json()) == {"error"}
        client.auth = ("any", token)
        functions = client.get("/api/functions").json()
        assert client.get("/api/functions/masklet-tracker").json() == functions["masklet-tracker"]
        response = invoke(client, "interactor", image=IMAGE, pos_points=[[12, 20]], neg_points=[], obj_bbox=None)
        assert response["mask"] == make_mask(A).astype(int).tolist()
        assert client.get("/api/other").status_code == 404


def test_sessions_are_limited_and_retries_are_announced():
    with open_protocol(cvat, limits=Limits(sessions=1)) as client:
        body = {"image": moving(0), "shapes": [[*A]], "states": [None]}
        assert client.post("/tracker", json=body).status_code == 200
        response = client.post("/tracker", json=body)
        assert response.status_code == 503 and response.headers["retry-after"] and response.json()["error"]
