"""Masks on a picture: colours laid over it, or the objects cut out of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import ImageError

OPACITY = 0.45  # of the colour within a mask
_COLOURS = (
    np.array(  # Okabe and Ito's, which colour-blind people tell apart, the most visible ones on photographs first
        [(0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0), (240, 228, 66)]
    )
)
_SHADES = (0.0, 0.45, -0.4)  # the colours come again lighter (towards white), then darker


def colour(object_id: int) -> tuple[int, int, int]:
    """The RGB colour of an object, always the same for the same id; 21 ids in a row have different ones."""
    turn, place = divmod(object_id - 1, len(_COLOURS))
    shade = _SHADES[turn % len(_SHADES)]
    mixed = _COLOURS[place] * (1 - abs(shade)) + 255 * max(shade, 0)
    red, green, blue = np.rint(mixed).astype(int).tolist()
    return red, green, blue


def overlay(
    image: NDArray[np.uint8], masks: Iterable[NDArray[np.bool_]], object_ids: Sequence[int]
) -> NDArray[np.uint8]:
    """A new picture (H, W, 3): each mask (H, W) in its object's translucent colour, with a crisp outline.

    Outlines come last, over all colours; on larger pictures they have a white rim that shows on any background.
    """
    canvas: NDArray[np.uint8] = image.copy()
    outlines = []
    for mask, object_id in zip(masks, object_ids, strict=True):
        pixels = mask.view(np.uint8)
        _tint(canvas, pixels, colour(object_id))
        outlines.append(cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)[0])
    line = max(1, round(min(canvas.shape[:2]) / 400))
    for outline, object_id in zip(outlines, object_ids, strict=True):
        cv2.drawContours(canvas, outline, -1, (255, 255, 255), line + line // 2 * 2, cv2.LINE_AA)
        cv2.drawContours(canvas, outline, -1, colour(object_id), line, cv2.LINE_AA)
    return canvas


def cutout(image: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture as (H, W, 4) RGBA with the given opacity (H, W); black where nothing shows."""
    return np.asarray(cv2.merge([*cv2.split(cv2.copyTo(image, alpha)), alpha]))


def sharp_alpha(masks: Iterable[NDArray[np.bool_]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An opacity (H, W): 255 where any mask is, else 0."""
    union = np.zeros(size, bool)
    for mask in masks:
        union |= mask
    return np.where(union, 255, 0).astype(np.uint8)


def soft_alpha(logits: Iterable[NDArray[Any]], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An opacity (H, W) that fades out at edges: 255 times the sigmoid of the highest logit."""
    highest = np.full(size, -np.inf, np.float32)
    for one in logits:
        np.maximum(highest, one, out=highest, casting="same_kind")
    return np.asarray(np.rint(255 / (1 + np.exp(-highest.clip(-50, 50)))).astype(np.uint8))


def check_picture(image: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """`image` if it is a picture (H, W, 3) uint8 of that size, otherwise `ImageError`."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape != (*size, 3):
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError(
            "bad-image", f"the masks need their picture as uint8 ({size[0]}, {size[1]}, 3) RGB, got {found}"
        )
    return np.ascontiguousarray(image)


def _tint(canvas: NDArray[np.uint8], pixels: NDArray[np.uint8], rgb: tuple[int, int, int]) -> None:
    """Mixes the colour into `canvas` where `pixels` are set; only within their box, most masks being small."""
    left, top, width, height = cv2.boundingRect(pixels)
    if not width:
        return
    window = slice(top, top + height), slice(left, left + width)
    part = canvas[window]
    mixed = cv2.addWeighted(part, 1 - OPACITY, np.full_like(part, rgb), OPACITY, 0)
    canvas[window] = cv2.copyTo(mixed, np.ascontiguousarray(pixels[window]), part.copy())
