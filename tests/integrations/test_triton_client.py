"""Triton's client writes requests that the server reads, and reads its responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

pytest.importorskip("tritonclient.http", exc_type=ImportError)
import tritonclient.http as triton

from masklet.serve.protocols import kserve
from support.tool_protocols import open_protocol
from support.two_boxes import BOX, IMAGE, OTHER_BOX, encode_png, fill

BOXES = np.array([[9, 7, 31, 21], [34, 4, 51, 36]], np.float32)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with open_protocol(kserve) as client:
        yield client


def make_input(name: str, datatype: str, values: Any, *, binary: bool) -> Any:
    entry = triton.InferInput(name, list(values.shape), datatype)
    entry.set_data_from_numpy(values, binary_data=binary)
    return entry


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("kind", ["file", "pixels"])
def test_a_request_of_the_client(client: TestClient, kind: str, binary: bool) -> None:
    if kind == "pixels":
        image = make_input("image", "UINT8", IMAGE, binary=binary)
    else:  # in JSON the client writes BYTES as text, so that a file is always sent as binary data
        image = make_input("image", "BYTES", np.array([encode_png()], object), binary=True)
    boxes = make_input("boxes", "FP32", BOXES, binary=binary)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("masks", "scores", "rles")]
    body, length = triton.InferenceServerClient.generate_request_body([image, boxes], outputs=outputs)
    headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
    response = client.post("/v2/models/masklet/infer", content=body, headers=headers)
    assert response.status_code == 200, response.text
    found = response.headers.get("inference-header-content-length")
    result = triton.InferenceServerClient.parse_response_body(
        response.content, header_length=None if found is None else int(found)
    )
    assert np.array_equal(result.as_numpy("masks"), np.stack([fill(BOX), fill(OTHER_BOX)]))
    assert result.as_numpy("scores").tolist() == [1.0, 1.0] and result.as_numpy("rles").shape == (2,)
