"""Soft masks: gray images of one object in white whose rim is anti-aliased, blurred or compressed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MARGIN = 16  # levels of 8 bits that lossy compression or a blur leaves near black and near white
_MAX_EVEN = 0.1  # share of gray pixels whose four neighbors are equal; the objects of a label map have more
_MIN_LEVELS = 3  # distinct gray levels


def is_soft_mask(values: NDArray[Any], white: int = 255) -> bool:
    """Return whether a gray image is a mask with a soft rim, and not a label map.

    In a soft mask the levels between black and white change from pixel to pixel, around an area of white, and some are
    light. In a label map each value has areas of its own, and 255 marks void pixels.

    Args:
        values: Gray levels (H, W) of whole numbers.
        white: The level of white.
    """
    step = max(1, _MARGIN * white // 255)
    gray = (values > 0) & (values < white)
    if values.max() < white - step or not (gray & (values > white // 2)).any():
        return False
    even = _find_even(values)
    if not (even & (values > white - step)).any():
        return False
    middle = gray & (values >= step) & (values <= white - step)
    tested = middle if middle.any() else gray & (values > white - step)
    levels = len(np.unique(values[gray]))
    return levels >= _MIN_LEVELS and bool(np.count_nonzero(even & tested) <= _MAX_EVEN * np.count_nonzero(tested))


def harden(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a soft mask in black and white, any other gray image as it is."""
    return np.where(gray >= 128, np.uint8(255), np.uint8(0)) if is_soft_mask(gray) else gray


def _find_even(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Find the pixels that are equal to their four neighbors; those at the border have none."""
    even = np.zeros(values.shape, bool)
    center = values[1:-1, 1:-1]
    neighbors = (values[:-2, 1:-1], values[2:, 1:-1], values[1:-1, :-2], values[1:-1, 2:])
    even[1:-1, 1:-1] = np.logical_and.reduce([neighbor == center for neighbor in neighbors])
    return even
