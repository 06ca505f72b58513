"""Requests of the Open Inference Protocol in JSON and with binary data, and responses as its clients read them."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from masklet.masks import rle
from masklet.serve.protocols import kserve
from support.tool_protocols import open_protocol
from support.two_boxes import BOX, IMAGE, OTHER_BOX, encode_base64, encode_png, fill

INFER = "/v2/models/masklet/infer"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with open_protocol(kserve) as client:
        yield client


def tensor(name: str, datatype: str, values: Any, shape: list[int] | None = None) -> dict[str, Any]:
    data = np.asarray(values)
    return {"name": name, "datatype": datatype, "shape": [*data.shape] if shape is None else shape, "data": values}


def image() -> dict[str, Any]:
    return tensor("image", "BYTES", [encode_base64()])


def points(*xy: tuple[float, float], labels: list[int] | None = None) -> list[dict[str, Any]]:
    rows = [[*map(list, xy)]]
    return [tensor("points", "FP32", rows), tensor("labels", "INT32", [labels or [1] * len(xy)])]


def infer(client: TestClient, *inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the outputs of a response by name, as arrays in their shapes."""
    response = client.post(INFER, json={"inputs": [*inputs], **more})
    assert response.status_code == 200, response.text
    outputs = {}
    for output in response.json()["outputs"]:
        kind = object if output["datatype"] == "BYTES" else None
        outputs[output["name"]] = np.asarray(output["data"], kind).reshape(output["shape"])
    return outputs


def test_a_server_and_its_model_describe_themselves(client: TestClient) -> None:
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/health/live").status_code == client.get("/v2/health/ready").status_code == 200
    for path in ("/v2/models/masklet", "/v2/models/masklet/versions/1"):
        metadata = client.get(path).json()
        assert metadata["name"] == "masklet" and metadata["versions"] == ["1"]
        assert {entry["name"] for entry in metadata["inputs"]} == {"image", "points", "labels", "boxes"}
        assert client.get(f"{path}/ready").json() == {"name": "masklet", "ready": True}
    assert "unknown" in client.get("/v2/models/other").json()["error"]
    assert client.get("/v2/models/masklet/versions/2/ready").status_code == 404


def test_points_give_rle_scores_and_boxes(client: TestClient) -> None:
    outputs = infer(client, image(), *points((20, 12)))
    assert {name: values.shape for name, values in outputs.items()} == {
        "rles": (1,), "scores": (1,), "mask_boxes": (1, 4)
    }  # fmt: skip
    assert np.array_equal(rle.decode(json.loads(outputs["rles"][0])), fill(BOX))
    assert outputs["mask_boxes"].tolist() == [[*map(float, BOX)]]


def test_boxes_of_several_objects_give_the_requested_masks(client: TestClient) -> None:
    boxes = tensor("boxes", "FP32", [[9, 7, 31, 21], [34, 4, 51, 36]])
    outputs = infer(client, image(), boxes, outputs=[{"name": "masks"}])
    assert [*outputs] == ["masks"] and outputs["masks"].dtype == bool
    assert np.array_equal(outputs["masks"], np.stack([fill(BOX), fill(OTHER_BOX)]))


def test_rows_are_padded_and_data_may_be_flat(client: TestClient) -> None:
    xy = tensor("points", "FP32", [20, 12, 0, 0, 9, 9, 40, 10, 20, 12, 0, 0], [2, 3, 2])
    labels = tensor("labels", "INT64", [1, -1, -1, 1, 0, -1], [2, 3])
    outputs = infer(client, image(), xy, labels, outputs=[{"name": "masks"}])
    assert np.array_equal(outputs["masks"], np.stack([fill(BOX), fill(OTHER_BOX)]))
    boxes = tensor("boxes", "FP64", [[9, 7, 31, 21], [34, 4, 51, 36]])
    both = infer(client, image(), xy, labels, boxes, outputs=[{"name": "masks"}], parameters={"multimask": True})
    assert both["masks"].shape == (6, *IMAGE.shape[:2])


def test_pixels_and_masks_may_be_binary(client: TestClient) -> None:
    """As Triton's clients send them: JSON, and the tensors behind it."""
    pixels, xy, labels = IMAGE.tobytes(), np.array([20, 12], "<f4").tobytes(), np.array([1], "<i4").tobytes()
    inputs = [
        {
            "name": "image",
            "datatype": "UINT8",
            "shape": [*IMAGE.shape],
            "parameters": {"binary_data_size": len(pixels)},
        },
        {"name": "points", "datatype": "FP32", "shape": [1, 1, 2], "parameters": {"binary_data_size": 8}},
        {"name": "labels", "datatype": "INT32", "shape": [1, 1], "parameters": {"binary_data_size": 4}},
    ]
    outputs = [{"name": "masks", "parameters": {"binary_data": True}}, {"name": "scores"}]
    header = json.dumps({"id": "7", "inputs": inputs, "outputs": outputs}).encode()
    response = client.post(
        INFER, content=header + pixels + xy + labels, headers={"Inference-Header-Content-Length": str(len(header))}
    )
    length = int(response.headers["inference-header-content-length"])
    record = json.loads(response.content[:length])
    masks, scores = record["outputs"]
    assert record["id"] == "7" and record["model_name"] == "masklet" and scores["data"] == [1.0]
    found = np.frombuffer(response.content[length:], bool).reshape(masks["shape"])
    assert masks["parameters"]["binary_data_size"] == found.size and np.array_equal(found[0], fill(BOX))


def test_a_file_may_be_binary(client: TestClient) -> None:
    content = struct.pack("<I", len(encode_png())) + encode_png()
    entry = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(content)}}
    record = {"inputs": [entry, *points((40, 10))], "parameters": {"binary_data_output": True}}
    header = json.dumps(record).encode()
    response = client.post(
        INFER, content=header + content, headers={"Inference-Header-Content-Length": str(len(header))}
    )
    length = int(response.headers["inference-header-content-length"])
    rles = json.loads(response.content[:length])["outputs"][0]
    data = response.content[length : length + rles["parameters"]["binary_data_size"]]
    assert struct.unpack("<I", data[:4]) == (len(data) - 4,)
    assert np.array_equal(rle.decode(json.loads(data[4:])), fill(OTHER_BOX))


@pytest.mark.parametrize(
    ("inputs", "part"),
    [
        ([], "no prompt given"),
        ([image()], "no prompt given"),
        (points((20, 12)), "'image' is missing"),
        ([tensor("image", "FP32", [[1.0]]), *points((20, 12))], "UINT8 (H, W, 3)"),
        ([tensor("image", "BYTES", ["é"]), *points((20, 12))], "base64"),
        ([image(), points((20, 12))[0]], "'labels'"),
        ([image(), *points((20, 12), labels=[1, 1])], "'labels' must be (1, 1)"),
        ([image(), *points((20, 12), labels=[9])], "labels must be"),
        ([image(), *points((900, 12))], "outside the image"),
        ([image(), tensor("boxes", "FP32", [[1, 2, 3]])], "(N, 4)"),
        ([image(), tensor("boxes", "FP32", [1, 2, 3, 4], [2, 4])], "needs 8 elements, got 4"),
        ([image(), tensor("boxes", "FP32", [1, 2, 3, 4], [-1, -4])], "sides of at least 0"),
        ([image(), tensor("boxes", "FP128", [[1, 2, 3, 4]])], "'FP128' is unknown"),
        ([image(), tensor("boxes", "FP32", [["a", 2, 3, 4]])], "numbers of FP32"),
        ([image(), tensor("boxes", "BYTES", [base64.b64encode(b"a").decode()] * 4, [1, 4])], "must be numbers"),
        ([{"name": "image"}], "datatype"),
    ],
)
def test_errors_have_the_form_of_the_protocol(client: TestClient, inputs: Any, part: str) -> None:
    response = client.post(INFER, json={"inputs": inputs})
    assert response.status_code == 400 and part in response.json()["error"]


@pytest.mark.parametrize("header", ["99999", "x", "-1", "3"])
def test_a_broken_header_is_an_error(client: TestClient, header: str) -> None:
    response = client.post(INFER, content=b'{"inputs": []}', headers={"Inference-Header-Content-Length": header})
    assert response.status_code == 400 and response.json()["error"]


def test_binary_sizes_are_checked(client: TestClient) -> None:
    for size, part in ((100, "bytes are left"), (3, "are 8 bytes")):
        entry = {"name": "points", "datatype": "FP32", "shape": [1, 1, 2], "parameters": {"binary_data_size": size}}
        header = json.dumps({"inputs": [entry]}).encode()
        headers = {"Inference-Header-Content-Length": str(len(header))}
        assert part in client.post(INFER, content=header + b"12345678", headers=headers).json()["error"]
    outputs = {"inputs": [image(), *points((20, 12))], "outputs": [{"name": "logits"}]}
    assert "'logits' is unknown" in client.post(INFER, json=outputs).json()["error"]
