"""Images in memory: arrays (H, W) or (H, W, C), and tensors (H, W) or (C, H, W)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.errors import ImageError
from masklet.images.bit_depth import Range, to_uint8
from masklet.images.colors import composite_on_black

MAX_SIDE = 65_535
_TOLERANCE = 0.5 / 255  # by which rounding and resizing may leave [0, 1]


def array_to_rgb(array: NDArray[Any], value_range: Range | None = None) -> NDArray[np.uint8]:
    """Convert an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) to RGB (H, W, 3) uint8, without a copy if possible.

    Raises:
        ImageError: `bad-image`, `bad-dimensions` or `float-needs-range`.
    """
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in {1, 3, 4}:
        planar = array.ndim == 3 and array.shape[0] in {1, 3, 4}
        advice = "; convert (C, H, W) with array.transpose(1, 2, 0)" if planar else ""
        raise ImageError(
            "bad-image", f"an image must be (H, W), (H, W, 3) or (H, W, 4), got shape {array.shape}{advice}"
        )
    check_sides(array.shape[1], array.shape[0], "the array")
    pixels = to_uint8(array, "the array", value_range)
    if pixels.shape[2] == 4:
        return np.array(composite_on_black(Image.fromarray(np.ascontiguousarray(pixels))))
    return np.ascontiguousarray(pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2))


def tensor_to_rgb(tensor: Any, value_range: Range | None = None) -> NDArray[np.uint8]:
    """Convert a tensor (H, W) or (C, H, W), of whole numbers or of fractions in [0, 1], to RGB (H, W, 3) uint8.

    Raises:
        ImageError: `bad-image`, `bad-dimensions` or `float-needs-range`.
    """
    try:
        values = tensor.detach().cpu()
        fractions = bool(values.is_floating_point())
        array = np.asarray((values.float() if fractions else values).numpy())
    except (TypeError, RuntimeError) as cause:
        raise ImageError("bad-image", f"the tensor is not an image: {cause}") from cause
    if array.ndim == 3:
        if array.shape[0] not in {1, 3, 4}:
            advice = "; convert (H, W, C) with tensor.permute(2, 0, 1)" if array.shape[2] in {1, 3, 4} else ""
            raise ImageError("bad-image", f"a tensor must be (H, W) or (C, H, W), got shape {array.shape}{advice}")
        array = array.transpose(1, 2, 0)
    if fractions and value_range is None:
        _check_fractions(array)
        value_range = (0, 1)
    return array_to_rgb(array, value_range)


def check_sides(width: int, height: int, name: str) -> None:
    """Raise `ImageError` (`bad-dimensions`) for sides outside 1 … `MAX_SIDE`."""
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        message = f"{name} is {width} × {height} pixels; sides must be from 1 to {MAX_SIDE}"
        raise ImageError("bad-dimensions", message, path=name)


def _check_fractions(array: NDArray[Any]) -> None:
    if array.size and not (array.min() >= -_TOLERANCE and array.max() <= 1 + _TOLERANCE):
        message = (
            f"a tensor of fractions must lie in [0, 1], got {array.min():g} … {array.max():g}; "
            "pass the image before it is normalized, or value_range=(low, high)"
        )
        raise ImageError("float-needs-range", message)
