"""Requests to osam's server in the form that osam documents, and responses as its clients read them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.testclient import TestClient

from masklet.serve.protocols import osam
from support.tool_protocols import open_protocol
from support.two_boxes import BOX, IMAGE, OTHER_BOX, encode_base64, fill


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with open_protocol(osam) as client:
        yield client


def paste(annotation: dict[str, Any]) -> NDArray[np.bool_]:
    """Paste a mask into the image. The box includes its last row and column."""
    crop = np.asarray(Image.open(io.BytesIO(base64.b64decode(annotation["mask"])))) > 0
    mask, box = np.zeros(IMAGE.shape[:2], bool), annotation["bounding_box"]
    mask[box["ymin"] : box["ymax"] + 1, box["xmin"] : box["xmax"] + 1] = crop
    return mask


def generate(client: TestClient, prompt: dict[str, Any] | None, **more: Any) -> Any:
    body = {"model": "sam2:latest", "image": encode_base64(), "prompt": prompt, **more}
    return client.post("/api/generate", json=body)


@pytest.mark.parametrize(
    ("prompt", "box"),
    [
        ({"points": [[20, 12]], "point_labels": [1]}, BOX),
        ({"points": [[51, 4], [34, 36]], "point_labels": [2, 3]}, OTHER_BOX),
        ({"points": [[20, 12], [40, 10], [1, 1]], "point_labels": [0, 1, 0], "texts": None}, OTHER_BOX),
    ],
    ids=["click", "box", "clicks"],
)
def test_points_and_boxes(client: TestClient, prompt: dict[str, Any], box: Any) -> None:
    response = generate(client, prompt).json()
    assert response["model"] == "sam2:latest" and response["image_embedding"] is None
    (annotation,) = response["annotations"]
    assert np.array_equal(paste(annotation), fill(box))
    assert 0 < annotation["score"] <= 1 and annotation["text"] is None


def test_without_a_prompt_the_middle_is_clicked(client: TestClient) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[15:25, 25:35] = 80
    response = generate(client, None, image=encode_base64(image)).json()
    assert response["annotations"][0]["bounding_box"] == {"xmin": 25, "ymin": 15, "xmax": 34, "ymax": 24}


def test_an_empty_mask_is_no_annotation(client: TestClient) -> None:
    prompt = {"points": [[20, 12], [25, 15]], "point_labels": [1, 0]}  # both have the same color
    assert generate(client, prompt).json()["annotations"] == []


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"prompt": {"texts": ["a cup"]}}, "no texts"),
        ({"prompt": {"points": [[900, 1]], "point_labels": [1]}}, "outside the image"),
        ({"prompt": {"points": [[1, 1]], "point_labels": [1, 0]}}, "as many labels"),
        ({"prompt": {"points": [[1, 1]], "point_labels": [2]}}, "one with label 3"),
        ({"prompt": {"points": [["a", 1]], "point_labels": [1]}}, "list of"),
        ({"image": None}, "needs an image"),
        ({"image": "%%%"}, "base64"),
        ({"image": "AAAA"}, "image"),
        ({"model": None}, "model"),
    ],
)
def test_bad_requests_get_a_detail(client: TestClient, changes: dict[str, Any], part: str) -> None:
    response = generate(client, **{"prompt": {"points": [[20, 12]], "point_labels": [1]}, **changes})
    assert response.status_code == 400 and part in response.json()["detail"]


def test_the_server_responds_at_its_root(client: TestClient) -> None:
    assert client.get("/").text == "osam is running"
