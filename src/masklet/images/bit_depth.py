"""Eight bits for every number: what becomes of 16-bit, boolean and floating-point pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import ImageError, SettingsError, warn

Range = tuple[float, float]


def to_uint8(values: NDArray[Any], name: str, value_range: Range | None, *, bits: int = 16) -> NDArray[np.uint8]:
    """Numbers of any kind as uint8. `bits` are those that 16-bit numbers use, of which the high 8 stay."""
    kind = values.dtype.kind
    if values.dtype == np.uint8:
        return np.asarray(values, np.uint8)
    if kind == "b":
        return np.asarray(np.where(values, 255, 0), np.uint8)
    if kind not in "uif":
        raise ImageError("bad-image", f"{name}: a picture holds numbers, not {values.dtype}")
    if value_range is not None:
        return _stretched(values, value_range)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        warn_depth_reduced(bits)
        return np.asarray(np.minimum(values >> (bits - 8), 255), np.uint8)
    message = f"{name} holds {values.dtype} numbers; value_range=(low, high) must say which are black and white"
    raise ImageError("float-needs-range", message)


def check_range(value_range: Range | None) -> None:
    """Raises `SettingsError` unless it is None or (low, high)."""
    if value_range is None:
        return
    low, high = value_range
    if not (np.isfinite([low, high]).all() and low < high):
        raise SettingsError("bad-usage", f"value_range must be (low, high) with low < high, got {value_range}")


def warn_depth_reduced(bits: int = 16) -> None:
    """Tell that only the high 8 bits were taken; without a name, so that a folder of such pictures says it once."""
    warn("depth-reduced", f"took the high 8 of {bits} bits a channel")


def _stretched(values: NDArray[Any], value_range: Range) -> NDArray[np.uint8]:
    low, high = value_range
    exact = np.float32 if values.dtype.itemsize <= 2 or values.dtype == np.float32 else np.float64
    scaled = (values.astype(exact) - exact(low)) * exact(255 / (high - low))
    return np.asarray(np.rint(np.clip(np.nan_to_num(scaled, nan=0, posinf=255, neginf=0), 0, 255)), np.uint8)
