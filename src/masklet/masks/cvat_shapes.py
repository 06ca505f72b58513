"""Shapes of CVAT: rectangles, polygons, and masks as run lengths along the rows of a box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError, PromptError
from masklet.masks.connected_components import keep_largest_component
from masklet.masks.iou import masks_to_boxes
from masklet.masks.polygons import rasterize, trace_pieces
from masklet.masks.rle import MAX_PIXELS
from masklet.prompts import Prompt, box, clicks, mask

RECTANGLE, POLYGON, MASK = "rectangle", "polygon", "mask"
SHAPE_TYPES = (RECTANGLE, POLYGON, MASK)
_BOX_NUMBERS = 4  # at the end of a mask

Mask = NDArray[np.bool_]


def encode_runs(pixels: Mask) -> list[int]:
    """Encode pixels (h, w) as the lengths of runs along rows, background first: 0 if the first pixel is foreground."""
    changes = np.flatnonzero(np.diff(pixels.ravel().astype(np.int8), prepend=0))
    runs: list[int] = np.diff(changes, prepend=0, append=pixels.size).tolist()
    return runs


def decode_runs(runs: Sequence[int], size: tuple[int, int]) -> Mask:
    """Decode the lengths of runs along rows, background first, as pixels (h, w) of a size.

    Raises:
        FormatError: `bad-rle`. They do not fill the size exactly.
    """
    height, width = size
    lengths = np.asarray(runs)
    is_whole = lengths.ndim == 1 and lengths.dtype.kind in "iu"
    if not is_whole or not 0 < height * width <= MAX_PIXELS or not ((lengths >= 0) & (lengths <= height * width)).all():
        raise FormatError("bad-rle", f"run lengths must be whole numbers that fill {width} × {height} pixels")
    if lengths.sum() != height * width:
        raise FormatError("bad-rle", f"a sum of run lengths of {lengths.sum()} does not fit {width} × {height} pixels")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)


def encode_cvat_mask(pixels: Mask) -> list[int]:
    """Encode a mask (H, W) as the `points` of a shape `mask`: run lengths in its box, then left, top, right, bottom.

    The right column and the bottom row belong to the box. An empty mask has the box of the first pixel.
    """
    left, top, right, bottom = (int(side) for side in masks_to_boxes([pixels])[0])
    if left == right:
        right = bottom = 1
    return [*encode_runs(pixels[top:bottom, left:right]), left, top, right - 1, bottom - 1]


def decode_cvat_mask(points: Sequence[float], size: tuple[int, int]) -> Mask:
    """Decode the `points` of a shape `mask` as a mask of an image of `size` (H, W).

    Raises:
        FormatError: `bad-rle`. The numbers are not a mask in a box of the image.
    """
    height, width = size
    try:
        numbers = np.asarray(points, np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.zeros(0)
    if numbers.ndim != 1 or len(numbers) <= _BOX_NUMBERS or not (np.abs(numbers) <= MAX_PIXELS).all():
        raise FormatError("bad-rle", "a mask must be a list of run lengths and 4 numbers of a box")
    if (numbers != np.round(numbers)).any():
        raise FormatError("bad-rle", "the run lengths and the box of a mask must be whole numbers")
    *runs, left, top, right, bottom = numbers.astype(np.int64).tolist()
    if not (0 <= left <= right < width and 0 <= top <= bottom < height):
        box_text = f"({left}, {top}, {right}, {bottom})"
        raise FormatError("bad-rle", f"the box {box_text} of a mask is outside the image of {width} × {height} pixels")
    pixels = np.zeros(size, bool)
    pixels[top : bottom + 1, left : right + 1] = decode_runs(runs, (bottom - top + 1, right - left + 1))
    return pixels


def encode_shape(kind: str, pixels: Mask) -> list[float]:
    """Encode a mask (H, W) that is not empty as the `points` of a shape.

    Args:
        kind: "rectangle", "polygon" or "mask". A polygon is the outline of the largest connected component.
        pixels: The mask.
    """
    if kind == MASK:
        return [*map(float, encode_cvat_mask(pixels))]
    if kind == RECTANGLE:
        return [float(side) for side in masks_to_boxes([pixels])[0]]
    largest = keep_largest_component(np.where(pixels, np.float32(1), np.float32(-1))) > 0
    points: list[float] = trace_pieces(largest)[0].ravel().tolist()
    return points


def make_shape_prompt(kind: str, points: Sequence[float], size: tuple[int, int]) -> Prompt:
    """Make the prompt of a shape: a box of a rectangle, else a mask.

    Args:
        kind: "rectangle", "polygon" or "mask".
        points: The points of the shape.
        size: The image's (H, W).

    Raises:
        PromptError: `bad-prompt`. The shape is of another type, or has no area in the image.
        FormatError: The points are malformed.
    """
    height, width = size
    if kind == RECTANGLE:
        x0, y0, x1, y1 = _read_numbers(points, _BOX_NUMBERS)
        return box(max(x0, 0), max(y0, 0), min(x1, width), min(y1, height))
    if kind not in SHAPE_TYPES:
        message = f"a shape of type {str(kind)[:60]!r} cannot be tracked; the types are {', '.join(SHAPE_TYPES)}"
        raise PromptError("bad-prompt", message)
    pixels = rasterize([points], size) if kind == POLYGON else decode_cvat_mask(points, size)
    if not pixels.any():
        raise PromptError("bad-prompt", f"the {kind} has no pixels in the image of {width} × {height}")
    return mask(pixels)


def make_click_prompt(positive: Sequence[Any], negative: Sequence[Any], bounding_box: Sequence[Any] | None) -> Prompt:
    """Make the prompt of an interaction.

    Args:
        positive: Points (x, y) of the object.
        negative: Points that do not belong to it.
        bounding_box: Two corners (x, y), or None or an empty list.

    Raises:
        PromptError: `bad-prompt`. There is neither a point nor a box, or a number is invalid.
    """
    points = [*positive, *negative]
    labels = [1] * len(positive) + [0] * len(negative)
    if not bounding_box:
        if not points:
            raise PromptError("bad-prompt", "the request has no point and no box; send at least one positive point")
        return clicks(points, labels)
    try:
        (x0, y0), (x1, y1) = bounding_box
        found = box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    except (TypeError, ValueError) as cause:
        if isinstance(cause, PromptError):
            raise
        raise PromptError("bad-prompt", f"a box must be two points, got {str(bounding_box)[:60]}") from cause
    return found + clicks(points, labels) if points else found


def _read_numbers(values: Sequence[float], count: int) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError) as cause:
        raise PromptError("bad-prompt", f"the points of a shape must be numbers, got {str(values)[:60]}") from cause
    if len(numbers) != count:
        raise PromptError("bad-prompt", f"a rectangle has {count} numbers, got {len(numbers)}")
    return numbers
