"""Masks as an image with transparency, which the page shows over the image."""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.masks.masks import Masks
from masklet.masks.overlay import OPACITY, pick_color

_OUTLINE_PX = 2


def fit_size(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """Return an image's (H, W) reduced so that neither side is above `max_side`."""
    scale = min(1.0, max_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def encode_image(image: NDArray[np.uint8], size: tuple[int, int]) -> bytes:
    """Reduce an image (H, W, 3) uint8 RGB to `size` (h, w), and encode it as JPEG."""
    height, width = size
    reduced = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return _encode(Image.fromarray(reduced), "JPEG", quality=90)


def encode_masks(masks: Masks, size: tuple[int, int]) -> bytes:
    """Draw masks in the colors of their objects at `size` (h, w), and encode them as a PNG with transparency."""
    layer = np.zeros((*size, 4), np.uint8)
    outlines = []
    for binary, object_id in zip(masks.binary, masks.object_ids, strict=True):
        pixels = cv2.resize(binary.view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
        layer[pixels > 0] = (*pick_color(object_id), round(255 * OPACITY))
        outlines.append(cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[0])
    for outline, object_id in zip(outlines, masks.object_ids, strict=True):
        cv2.drawContours(layer, outline, -1, (*pick_color(object_id), 255), _OUTLINE_PX)
    return _encode(Image.fromarray(layer), "PNG")


def _encode(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
