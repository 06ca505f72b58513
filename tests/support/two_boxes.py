"""The image that tests of protocols segment with `GrayWorld`, and its masks."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from support.gray_world import SIZE, draw_boxes

BOX, OTHER_BOX = (10, 8, 30, 20), (35, 5, 50, 35)  # left, top, right, bottom
IMAGE = draw_boxes({100: BOX, 200: OTHER_BOX})


def encode_png(image: NDArray[np.uint8] = IMAGE) -> bytes:
    """Return an image (H, W, 3) as a PNG file."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def encode_base64(image: NDArray[np.uint8] = IMAGE) -> str:
    """Return a PNG file of an image as base64."""
    return base64.b64encode(encode_png(image)).decode()


def fill(box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Return the mask of a box."""
    mask = np.zeros(SIZE, bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask
