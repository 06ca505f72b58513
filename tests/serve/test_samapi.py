"""Requests as QuPath's extension sends them to samapi, and features as it reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from masklet.errors import InputNotFound
from masklet.masks import polygons
from masklet.serve.limits import Limits
from masklet.serve.protocols import samapi
from masklet.serve.protocols.frame_uploads import FrameUploads
from masklet.serve.protocols.geojson import make_geometry
from support.gray_world import draw_boxes
from support.tool_protocols import open_protocol
from support.two_boxes import BOX, IMAGE, OTHER_BOX, encode_base64, encode_png, fill

FRAMES = [draw_boxes({100: (10 + 2 * n, 8, 20 + 2 * n, 18), 200: (40, 25, 50, 35)}) for n in range(5)]
POINTS = {"point_coords": [[20, 12]], "point_labels": [1]}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with open_protocol(samapi) as client:
        yield client


def draw(feature: dict[str, Any]) -> NDArray[np.bool_]:
    """Draw a feature as QuPath does: rings after the first one of a polygon are holes."""
    geometry = feature["geometry"]
    parts = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    mask = np.zeros(IMAGE.shape[:2], bool)
    for outline, *holes in parts:
        assert all(ring[0] == ring[-1] for ring in (outline, *holes))
        mask |= polygons.rasterize([outline], mask.shape) & ~polygons.rasterize(holes, mask.shape)
    return mask


def segment(client: TestClient, **changes: Any) -> Any:
    body = {"type": "sam2_t", "bbox": None, "point_coords": None, "point_labels": None, "b64img": encode_base64(),
            "b64mask": None, "multimask_output": False, "checkpoint_url": None, **changes}  # fmt: skip
    return client.post("/", json=body)


@pytest.mark.parametrize(
    ("changes", "box"),
    [
        (POINTS, BOX),
        ({"bbox": [34, 4, 51, 36], "point_coords": [], "point_labels": []}, OTHER_BOX),
        ({"point_coords": [[40, 20], [20, 12]], "point_labels": [1, 0]}, OTHER_BOX),
    ],
    ids=["points", "box", "background"],
)
def test_a_prompt_gives_one_feature(client: TestClient, changes: Any, box: Any) -> None:
    (feature,) = segment(client, **changes).json()
    assert feature["type"] == "Feature" and np.array_equal(draw(feature), fill(box))
    properties = feature["properties"]
    assert properties["object_idx"] == 0 and properties["label"] == "object" and properties["sam_model"]
    assert properties["quality"] == 1.0


def test_three_masks_are_numbered_from_0_with_their_own_quality(client: TestClient) -> None:
    features = segment(client, **POINTS, multimask_output=True).json()
    assert [feature["properties"]["object_idx"] for feature in features] == [0, 1, 2]


def test_a_mask_may_be_the_prompt(client: TestClient) -> None:
    mask = np.repeat(fill(OTHER_BOX)[:, :, None], 3, axis=2).astype(np.uint8) * 255
    (feature,) = segment(client, point_coords=[[42, 20]], point_labels=[1], b64mask=encode_base64(mask)).json()
    assert np.array_equal(draw(feature), fill(OTHER_BOX))


def test_automatic_masks(client: TestClient) -> None:
    body = {"type": "sam2_t", "b64img": encode_base64(), "points_per_side": 8, "points_per_batch": 64,
            "pred_iou_thresh": 0.88, "stability_score_thresh": 0.95, "stability_score_offset": 1.0,
            "box_nms_thresh": 0.7, "crop_n_layers": 0, "crop_nms_thresh": 0.7, "crop_overlap_ratio": 0.34,
            "crop_n_points_downscale_factor": 1, "min_mask_region_area": 0, "output_type": "Multi-mask (all)",
            "include_image_edge": False, "checkpoint_url": None}  # fmt: skip
    features = client.post("/automask/", json=body).json()
    assert [feature["properties"]["object_idx"] for feature in features] == [*range(len(features))]
    assert all(any(np.array_equal(draw(feature), fill(box)) for feature in features) for box in (BOX, OTHER_BOX))


def test_a_mask_with_holes_and_parts_is_a_geometry_of_geojson() -> None:
    ring = fill((5, 5, 25, 25)) & ~fill((10, 10, 15, 15))
    speck = fill((55, 30, 57, 32))
    one, several = make_geometry(ring), make_geometry(ring | speck | fill((40, 5, 50, 15)))
    assert one and several and make_geometry(ring & False) is None
    assert one["type"] == "Polygon" and len(one["coordinates"]) == 2
    assert several["type"] == "MultiPolygon" and sorted(map(len, several["coordinates"])) == [1, 2]
    assert np.array_equal(draw({"geometry": several}), ring | fill((40, 5, 50, 15)))


def track(client: TestClient, **changes: Any) -> Any:
    body = {"type": "sam2_t", "b64imgs": [encode_base64(frame) for frame in FRAMES], "axes": "XYT",
            "plane_position": 3, "checkpoint_url": None,
            "objs": {"1": [{"obj_id": 0, "point_coords": [[15, 12]], "point_labels": [1], "bbox": None},
                           {"obj_id": 5, "point_coords": None, "point_labels": None, "bbox": [39, 24, 51, 36]}]},
            **changes}  # fmt: skip
    return client.post("/video/", json=body)


def test_a_series_is_tracked_from_the_first_prompt(client: TestClient) -> None:
    features = track(client).json()
    planes = [(feature["geometry"]["plane"], feature["properties"]["object_idx"]) for feature in features]
    assert planes == [({"c": -1, "z": 3, "t": t}, key) for t in (1, 2, 3, 4) for key in (0, 5)]
    moved = [feature for feature in features if feature["properties"]["object_idx"] == 0]
    for t, feature in enumerate(moved, start=1):
        assert np.array_equal(draw(feature), fill((10 + 2 * t, 8, 20 + 2 * t, 18)))


def test_the_planes_of_a_stack_are_tracked_in_a_range(client: TestClient) -> None:
    features = track(client, axes="XYZ", start_frame_idx=2, max_frame_num_to_track=1).json()
    planes = [feature["geometry"]["plane"] for feature in features]
    assert planes == [{"c": -1, "z": z, "t": 3} for z in (2, 2, 3, 3)]


def test_frames_are_uploaded_in_any_order_and_used_once(client: TestClient) -> None:
    for index in (3, 0, 4, 2, 1):
        files = {"file": (f"{index}.jpg", encode_png(FRAMES[index]), "image/jpeg")}
        response = client.post("/upload/", data={"dirname": "stack"}, files=files)
        assert response.json() == {"filename": f"{index}.jpg"}
    assert len(track(client, b64imgs=None, dirname="stack").json()) == 8
    response = track(client, b64imgs=None, dirname="stack")
    assert response.status_code == 404 and "no frames were uploaded" in response.json()["detail"]


def test_uploads_are_bounded_and_forgotten() -> None:
    now = [0.0]
    uploads = FrameUploads(max_bytes=10, max_frames=2, idle_s=5, now=lambda: now[0])
    uploads.add("a", "10.jpg", b"12345")
    uploads.add("a", "9.jpg", b"67")
    uploads.add("a", "9.jpg", b"678")
    for name in ("b", "a"):
        with pytest.raises(HTTPException) as refused:
            uploads.add(name, "11.jpg", b"123" if name == "b" else b"1")
        assert refused.value.status_code == 413
    now[0] = 6.0
    uploads.add("b", "1.jpg", b"1234567890")
    with pytest.raises(InputNotFound):
        uploads.take("a")
    uploads.take("b")
    for name in ("10.jpg", "9.jpg"):
        uploads.add("c", name, name.encode()[:2])
    assert uploads.take("c") == [b"9.", b"10"]


def test_one_model_serves_all_types(client: TestClient) -> None:
    assert client.get("/version/").text == samapi.VERSION
    (weights,) = client.get("/weights/", params={"type": "sam2_s"}).json()
    assert weights["type"] == "sam2_s" and weights["url"] == f"masklet:{weights['name']}"
    assert len(client.get("/weights/").json()) == 4
    assert segment(client, **POINTS, checkpoint_url=weights["url"]).status_code == 200
    assert client.get("/progress/").json() == {"message": None, "percent": -1}
    assert client.get("/weights/cancel/").status_code == 200


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({}, "no prompt given"),
        ({"bbox": [1, 2, 3]}, "bbox"),
        ({"bbox": [30, 2, 3, 4]}, "x0 < x1"),
        ({**POINTS, "type": "vit_x"}, "type must be"),
        ({**POINTS, "checkpoint_url": "https://example.org/x.pt"}, "this server has the model"),
        ({**POINTS, "b64img": "AAAA"}, "image"),
        ({**POINTS, "b64img": 7}, "b64img"),
    ],
)
def test_errors_have_a_detail(client: TestClient, changes: Any, part: str) -> None:
    response = segment(client, **changes)
    assert response.status_code == 422 and part in response.json()["detail"]


def test_errors_of_other_requests(client: TestClient) -> None:
    body = {"type": "sam2_t", "b64img": encode_base64(), "points_per_side": 4000}
    assert "at most 128" in client.post("/automask/", json=body).json()["detail"]
    weights = {"type": "sam2_t", "name": "x", "url": "https://example.org/x.pt"}
    assert client.post("/weights/", json=weights).status_code == 422
    assert client.post("/upload/", data={"dirname": "x"}).status_code in (415, 422)
    assert "no prompts" in track(client, objs={}).json()["detail"]
    assert "name frame 9" in track(client, objs={"9": [{"obj_id": 1, **POINTS}]}).json()["detail"]
    assert "axes" in track(client, axes="XY").json()["detail"]
    assert "dirname or b64imgs" in track(client, b64imgs=None).json()["detail"]


def test_a_full_server_asks_to_repeat_the_request() -> None:
    with open_protocol(samapi, limits=Limits(frames=3)) as client:
        assert "at most 3 frames" in track(client).json()["detail"]
