"""Resizing of low-resolution logits to the size of the image, equal on every device and runtime."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def resize_logits(logits: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize the logits of one mask (reference-model §2.3).

    Bilinear interpolation with half-pixel centers, clamped edges and no antialiasing.

    Args:
        logits: Logits (h, w), float32 or float64.
        size: The new size (H, W).

    Returns:
        Logits (H, W) of the same dtype; `logits` itself if it has that size.
    """
    if logits.shape == size:
        return logits
    if logits.dtype == np.float64:  # OpenCV computes some of its float64 weights in float32
        return _resize_axis(_resize_axis(logits, size[0], 0), size[1], 1)
    height, width = size
    return np.asarray(cv2.resize(np.ascontiguousarray(logits), (width, height), interpolation=cv2.INTER_LINEAR))


def _resize_axis(values: NDArray[Any], length: int, axis: int) -> NDArray[Any]:
    """Resize `values` (h, w) to `length` along one axis."""
    before = values.shape[axis]
    position = np.maximum((np.arange(length) + 0.5) * (before / length) - 0.5, 0)
    left = np.minimum(position.astype(np.int64), before - 1)
    right = np.minimum(left + 1, before - 1)
    weight = np.expand_dims(position - left, 1 - axis)
    return np.asarray(values.take(left, axis) * (1 - weight) + values.take(right, axis) * weight)
