"""How low-res logits become logits at the picture's size, the same on every device and runtime."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def interpolate(logits: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """One mask's logits (h, w), float32 or float64, at `size` (H, W), in the same dtype.

    Bilinear with half-pixel centers and clamped edges, no antialiasing, as in the reference (reference-model §2.3).
    Logits that have that size already are returned as they are.
    """
    if logits.shape == size:
        return logits
    if logits.dtype == np.float64:  # OpenCV computes some of its float64 weights in float32
        return _along(_along(logits, size[0], 0), size[1], 1)
    height, width = size
    return np.asarray(cv2.resize(np.ascontiguousarray(logits), (width, height), interpolation=cv2.INTER_LINEAR))


def _along(values: NDArray[Any], length: int, axis: int) -> NDArray[Any]:
    """`values` (h, w) resampled to `length` along one axis."""
    before = values.shape[axis]
    position = np.maximum((np.arange(length) + 0.5) * (before / length) - 0.5, 0)
    left = np.minimum(position.astype(np.int64), before - 1)
    right = np.minimum(left + 1, before - 1)
    weight = np.expand_dims(position - left, 1 - axis)
    return np.asarray(values.take(left, axis) * (1 - weight) + values.take(right, axis) * weight)
