"""Drawing of masks on images: translucent overlays, and cut-outs with an alpha channel."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.errors import ImageError
from masklet.images import read_image
from masklet.images.image_source import ImageSource

OPACITY = 0.45  # of the color inside a mask
_COLORS = (
    np.array(  # the palette of Okabe and Ito, safe for color-blind readers, those most visible on photographs first
        [(0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0), (240, 228, 66)]
    )
)
_SHADES = (0.0, 0.45, -0.4)  # the palette repeats lighter (mixed with white), then darker


def pick_color(object_id: int) -> tuple[int, int, int]:
    """Return the RGB color of an object; 21 consecutive ids have different colors."""
    repetition, index = divmod(object_id - 1, len(_COLORS))
    shade = _SHADES[repetition % len(_SHADES)]
    mixed = _COLORS[index] * (1 - abs(shade)) + 255 * max(shade, 0)
    red, green, blue = np.rint(mixed).astype(int).tolist()
    return red, green, blue


def draw_overlay(
    image: NDArray[np.uint8], masks: Iterable[NDArray[np.bool_]], object_ids: Sequence[int]
) -> NDArray[np.uint8]:
    """Draw masks on a copy of an image, each in the translucent color of its object and with an outline.

    All outlines are drawn after all colors. If the shorter side has at least 600 pixels, they have a white rim.

    Args:
        image: RGB image (H, W, 3).
        masks: N masks (H, W).
        object_ids: The N object ids.

    Returns:
        The new image (H, W, 3).
    """
    canvas: NDArray[np.uint8] = image.copy()
    outlines = []
    for mask, object_id in zip(masks, object_ids, strict=True):
        pixels = mask.view(np.uint8)
        _tint(canvas, pixels, pick_color(object_id))
        outlines.append(cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[0])
    line = max(1, round(min(canvas.shape[:2]) / 400))
    for outline, object_id in zip(outlines, object_ids, strict=True):
        cv2.drawContours(canvas, outline, -1, (255, 255, 255), line + line // 2 * 2, cv2.LINE_AA)
        cv2.drawContours(canvas, outline, -1, pick_color(object_id), line, cv2.LINE_AA)
    return canvas


def cut_out(image: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) as RGBA (H, W, 4) with the given alpha channel (H, W), black where alpha is 0."""
    return np.asarray(cv2.merge([*cv2.split(cv2.copyTo(image, alpha)), alpha]))


def make_binary_alpha(masks: Iterable[NDArray[np.bool_]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an alpha channel of `size` (H, W): 255 inside any of the masks (H, W), else 0."""
    union = np.zeros(size, bool)
    for mask in masks:
        union |= mask
    return np.where(union, 255, 0).astype(np.uint8)


def make_soft_alpha(logits: Iterable[NDArray[Any]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an alpha channel of `size` (H, W): 255 times the sigmoid of the highest of the logits (H, W)."""
    highest = np.full(size, -np.inf, np.float32)
    for mask_logits in logits:
        np.maximum(highest, mask_logits, out=highest, casting="same_kind")
    return np.asarray(np.rint(255 / (1 + np.exp(-highest.clip(-50, 50)))).astype(np.uint8))


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encode an image (H, W, 3) uint8 RGB as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def read_image_of_masks(image: ImageSource, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Read an image and check that it has the size (H, W) of its masks.

    Raises the errors of `read_image`, and `ImageError` (`bad-image`) for another size.
    """
    pixels = read_image(image)
    if pixels.shape[:2] != size:
        (height, width), sizes = size, f"{pixels.shape[1]} × {pixels.shape[0]}"
        raise ImageError("bad-image", f"the masks need their image of {width} × {height} pixels, got {sizes}")
    return np.ascontiguousarray(pixels)


def _tint(canvas: NDArray[np.uint8], pixels: NDArray[np.uint8], rgb: tuple[int, int, int]) -> None:
    """Mix a color into `canvas` where `pixels` are set; only their bounding box is touched."""
    left, top, width, height = cv2.boundingRect(pixels)
    if not width:
        return
    region = slice(top, top + height), slice(left, left + width)
    part = canvas[region]
    mixed = cv2.addWeighted(part, 1 - OPACITY, np.full_like(part, rgb), OPACITY, 0)
    canvas[region] = cv2.copyTo(mixed, np.ascontiguousarray(pixels[region]), part.copy())
