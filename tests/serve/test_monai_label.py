"""Requests as 3D Slicer's module for MONAI Label sends them, and responses as its client reads them."""

from __future__ import annotations

import email
import email.policy
import gzip
import io
import json
from collections.abc import Iterator
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from masklet.serve.limits import Limits
from masklet.serve.protocols import monai_label
from support.tool_protocols import open_protocol

SHAPE = (30, 20, 6)  # voxels along x, y and z
AFFINE = np.array([[-0.8, 0, 0, 12], [0, 0.7, 0, -5], [0, 0, 2.5, 40], [0, 0, 0, 1]])


def make_volume() -> NDArray[np.uint8]:
    """A block of value 100 in slices 1 to 4 that moves by a voxel in each slice, and a fixed one of 200."""
    volume = np.zeros(SHAPE, np.uint8)
    for z in range(1, 5):
        volume[4 + z : 12 + z, 5:11, z] = 100
    volume[20:28, 12:18, :] = 200
    return volume


def encode_nifti(volume: NDArray[Any]) -> bytes:
    image = nibabel.Nifti1Image(volume, AFFINE)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), 1)


def parse(content: bytes) -> Any:
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(content))


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with open_protocol(monai_label) as client:
        yield client


def infer(client: TestClient, model: str, params: Any, query: dict[str, Any] | None = None, **files: Any) -> Any:
    files = files or {"file": ("ct.nii.gz", encode_nifti(make_volume()), "application/octet-stream")}
    data = {"params": json.dumps({"client_id": "user", **params})}
    return client.post(f"/infer/{model}", params={"image": "", **(query or {})}, data=data, files=files)


def read_parts(response: Any) -> tuple[dict[str, Any], Any]:
    """Read a response as the client does: fields of a form, and files by name."""
    assert response.status_code == 200, response.text
    head = f"Content-Type: {response.headers['content-type']}\r\n\r\n".encode()
    message: Any = email.message_from_bytes(head + response.content, policy=email.policy.HTTP)
    params, image = message.iter_parts()
    assert params.get_param("name", header="content-disposition") == "params" and image.get_filename()
    return json.loads(params.get_payload(decode=True)), parse(image.get_payload(decode=True))


def test_info_lists_the_models(client: TestClient) -> None:
    for path in ("/info/", "/info"):
        info = client.get(path).json()
        assert {name: model["dimension"] for name, model in info["models"].items()} == {"sam_2d": 2, "sam_3d": 3}
        assert all(model["type"] == "deepgrow" for model in info["models"].values())
        assert info["trainers"] == info["strategies"] == info["datastore"] == {}


def test_a_volume_is_segmented_in_both_directions(client: TestClient) -> None:
    params, labels = read_parts(
        infer(client, "sam_3d", {"foreground": [[10, 8, 3]], "background": [], "label": "liver"})
    )
    assert params["label_names"] == {"liver": 1} and params["latencies"]["total"] >= 0
    assert np.array_equal(np.asarray(labels.dataobj), make_volume() == 100)
    assert np.allclose(labels.affine, AFFINE) and labels.header.get_xyzt_units()[0] == "mm"
    assert labels.get_data_dtype() == np.uint8


def test_one_slice_is_segmented(client: TestClient) -> None:
    _, labels = read_parts(infer(client, "sam_2d", {"foreground": [[10, 8, 3]], "background": [[0, 0, 3]]}))
    wanted = make_volume() == 100
    wanted[:, :, [0, 1, 2, 4, 5]] = False
    assert np.array_equal(np.asarray(labels.dataobj), wanted)


def test_a_region_is_a_box_and_limits_the_slices(client: TestClient) -> None:
    params = {"roi": [19, 28, 11, 18, 2, 4], "slice": 3}
    _, labels = read_parts(infer(client, "sam_3d", params))
    wanted = make_volume() == 200
    wanted[:, :, [0, 1, 5]] = False
    assert np.array_equal(np.asarray(labels.dataobj), wanted)


def test_a_session_keeps_the_volume(client: TestClient) -> None:
    files = {"files": ("ct.nii.gz", encode_nifti(make_volume()), "application/octet-stream")}
    created = client.put("/session/", data={"client_id": "user"}, files=files).json()
    session = created["session_id"]
    assert created["session_info"]["shape"] == [*SHAPE]
    assert client.get(f"/session/{session}").json() == created["session_info"]
    for voxel, value in (([10, 8, 3], 100), ([22, 14, 0], 200), ([10, 8, 2], 100)):
        response = infer(client, "sam_3d", {"foreground": [voxel]}, {"session_id": session, "output": "image"})
        assert np.array_equal(np.asarray(parse(response.content).dataobj), make_volume() == value)
    assert client.delete(f"/session/{session}").status_code == 200
    assert client.get(f"/session/{session}").status_code == 410


def test_only_the_parameters_are_returned_on_request(client: TestClient) -> None:
    response = infer(client, "sam_3d", {"foreground": [[10, 8, 3]]}, {"output": "json"})
    assert response.json()["label_names"] == {"object": 1}


def test_numbers_of_a_scanner_are_scaled(client: TestClient) -> None:
    volume = make_volume().astype(np.int16) * 10 - 1000
    file = ("ct.nii", nibabel.Nifti1Image(volume, AFFINE).to_bytes(), "application/octet-stream")
    _, labels = read_parts(infer(client, "sam_3d", {"foreground": [[22, 14, 2]]}, file=file))
    assert np.array_equal(np.asarray(labels.dataobj), make_volume() == 200)


@pytest.mark.parametrize(
    ("model", "params", "status", "part"),
    [
        ("sam_4d", {"foreground": [[1, 1, 1]]}, 404, "'sam_4d' is unknown"),
        ("sam_3d", {}, 422, "nothing is marked"),
        ("sam_3d", {"background": [[1, 1, 1]]}, 422, "nothing is marked"),
        ("sam_3d", {"foreground": [[30, 1, 1]]}, 422, "no voxel"),
        ("sam_3d", {"foreground": [[1, 1]]}, 422, "no voxel"),
        ("sam_3d", {"foreground": ["x"]}, 422, "list of lists"),
        ("sam_3d", {"roi": [1, 2, 3]}, 422, "roi must be"),
        ("sam_3d", {"roi": [1, 9, 1, 9, 2, 3], "foreground": [[1, 1, 5]]}, 422, "outside the roi"),
    ],
)
def test_errors_have_a_detail(client: TestClient, model: str, params: Any, status: int, part: str) -> None:
    response = infer(client, model, params)
    assert response.status_code == status and part in response.json()["detail"]


def test_files_that_are_no_volumes(client: TestClient) -> None:
    point = {"foreground": [[1, 1, 1]]}
    bomb = gzip.compress(bytes(3_000_000))
    damaged = encode_nifti(make_volume())[:200]
    for content in (b"text", b"", damaged, bomb):
        response = infer(client, "sam_3d", point, file=("ct.nii.gz", content, "application/octet-stream"))
        assert response.status_code == 422 and "masklet-monai" not in response.json()["detail"]
    response = client.post("/infer/sam_3d", params={"image": "liver_1"}, data={"params": "{}"})
    assert response.status_code in (404, 415) and response.json()["detail"]
    response = infer(client, "sam_3d", point, {"output": "dicom_seg"})
    assert response.status_code == 422 and "output must be" in response.json()["detail"]
    response = client.post("/infer/sam_3d", data={"params": "["}, files={"file": ("a.nii", b"x")})
    assert "params must be JSON" in response.json()["detail"]
    files = [("files", ("a.nii", b"x")), ("files", ("b.nii", b"x"))]
    assert "one NIfTI file" in client.put("/session/", files=files).json()["detail"]


def test_an_unpacked_volume_is_limited() -> None:
    with open_protocol(monai_label, limits=Limits(upload_bytes=100_000)) as client:
        file = ("ct.nii.gz", gzip.compress(bytes(3_000_000)), "application/octet-stream")
        response = infer(client, "sam_3d", {"foreground": [[1, 1, 1]]}, file=file)
        assert response.status_code == 422 and "more than 100000 bytes" in response.json()["detail"]
        assert io.BytesIO(file[1]).getbuffer().nbytes < 100_000
