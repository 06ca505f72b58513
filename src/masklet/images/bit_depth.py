"""Bit depth: conversion of boolean, 16-bit and floating-point images to 8 bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import ImageError, SettingsError, warn

Range = tuple[float, float]


def to_uint8(values: NDArray[Any], name: str, value_range: Range | None, *, bits: int = 16) -> NDArray[np.uint8]:
    """Convert an array of any numeric dtype to uint8.

    Args:
        values: Booleans, which become 0 and 255, or numbers.
        name: Name of the image in error messages.
        value_range: (low, high) to scale to 0 … 255. Required for numbers other than uint8 and uint16.
        bits: Bits that are used of uint16 numbers; without a range the high 8 of them are taken.

    Raises:
        ImageError: `bad-image` for other dtypes, `float-needs-range` without a required range.
    """
    kind = values.dtype.kind
    if values.dtype == np.uint8:
        return np.asarray(values, np.uint8)
    if kind == "b":
        return np.asarray(np.where(values, 255, 0), np.uint8)
    if kind not in "uif":
        raise ImageError("bad-image", f"{name}: an image must hold numbers, got {values.dtype}")
    if value_range is not None:
        return _scale(values, value_range)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        warn_depth_reduced(bits)
        return np.asarray(np.minimum(values >> (bits - 8), 255), np.uint8)
    message = f"{name} holds {values.dtype} numbers; pass value_range=(low, high), the values of black and white"
    raise ImageError("float-needs-range", message)


def check_range(value_range: Range | None) -> None:
    """Raise `SettingsError` for a range that is neither None nor (low, high) with low < high."""
    if value_range is None:
        return
    try:
        low, high = value_range
        is_valid = -math.inf < low < high < math.inf
    except (TypeError, ValueError):  # not two, or no numbers
        is_valid = False
    if not is_valid:
        raise SettingsError("bad-usage", f"value_range must be (low, high) with low < high, got {value_range!r:.60}")


def warn_depth_reduced(bits: int = 16) -> None:
    """Warn that only the high 8 bits were taken, without a name, so that a folder of such images warns once."""
    warn("depth-reduced", f"took the high 8 of {bits} bits a channel")


def _scale(values: NDArray[Any], value_range: Range) -> NDArray[np.uint8]:
    low, high = value_range
    dtype = np.float32 if values.dtype.itemsize <= 2 or values.dtype == np.float32 else np.float64
    scaled = (values.astype(dtype) - dtype(low)) * dtype(255 / (high - low))
    return np.asarray(np.rint(np.clip(np.nan_to_num(scaled, nan=0, posinf=255, neginf=0), 0, 255)), np.uint8)
