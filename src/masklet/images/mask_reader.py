"""Masks in: a picture whose values are objects, as a map of labels."""

from __future__ import annotations

import math
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from masklet.errors import ImageError
from masklet.images.colors import DEEP, DecodedImage
from masklet.images.image_file import (
    MAX_PIXELS,
    check_size,
    decode_image,
    describe_source,
    open_source,
    translate_image_errors,
)
from masklet.masks.label_map import make_davis_palette

_LARGEST = 2**31 - 1
_TINT = 31  # what compression may add to a grey: the largest difference between channels
_NPY = b"\x93NUMPY"


def read_mask(source: Any, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.int32]:
    """The labels (H, W) int32 in a mask file: 0 where there is no object, else the object's number.

    `source` is the path, bytes or open file of a picture, as in `read_image`, or of an array saved by numpy (.npy).

    | what it holds                         | what its labels are                                                  |
    |---------------------------------------|----------------------------------------------------------------------|
    | palette, 1-bit, 16-bit, 32-bit        | its values                                                           |
    | grey, no value above 127              | its values (those of 2- and 4-bit files as they are stored)          |
    | grey, some value above 127            | 1 from 128 on, else 0: a mask in black and white, perhaps compressed |
    | grey or colours, transparent in places| 1 where it is at least half opaque, else 0                           |
    | RGB, all pixels nearly grey           | as grey                                                              |
    | RGB, all colours of DAVIS's palette   | their indices in it                                                  |
    | fractions in [0, 1] (.npy, TIFF)      | 1 from 0.5 on, else 0                                                |
    | .npy of booleans or whole numbers     | its values                                                           |

    Raises `ImageError` as `read_image` does, and `bad-image` for other colours, for numbers that are no labels and for
    arrays of another shape; `InputNotFound`.
    """
    name = describe_source(source)
    with open_source(source) as handle, translate_image_errors(name):
        if handle.read(len(_NPY)) == _NPY:
            return _as_labels(_read_npy(handle, name, max_pixels), name)
        return _as_labels(_values(decode_image(handle, name, max_pixels)), name)


def _values(picture: DecodedImage) -> NDArray[Any]:
    """The numbers of a decoded picture, or the mask that it shows."""
    image = picture.image
    if image.mode in {*DEEP, "P", "1"}:
        return np.array(image)
    if image.has_transparency_data:
        alpha = np.array(image.convert("RGBA").getchannel("A"))
        if alpha.min() < 255:
            return alpha >= 128
    if image.mode != "L":
        return _from_colours(np.array(image.convert("RGB")), picture.name)
    return _from_grey(np.array(image) // (255 // (2 ** min(picture.bits, 8) - 1)))  # Pillow stretches 2 and 4 bits


def _from_grey(grey: NDArray[np.uint8]) -> NDArray[Any]:
    return grey >= 128 if grey.max() > 127 else grey


def _from_colours(rgb: NDArray[np.uint8], name: str) -> NDArray[Any]:
    if np.ptp(rgb, axis=2).max() <= _TINT:
        return _from_grey(rgb.max(axis=2))
    code = rgb.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    palette = make_davis_palette().astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    order = np.argsort(palette)
    place = np.minimum(np.searchsorted(palette[order], code), 255)
    if (palette[order][place] != code).any():
        message = f"{name} is a picture in colours, not a mask; save masks in black and white, or labels with a palette"
        raise ImageError("bad-image", message, path=name)
    return order[place]


def _read_npy(handle: BinaryIO, name: str, max_pixels: int) -> NDArray[Any]:
    """An array (H, W), or (1, …, H, W), looked at before it is read."""
    handle.seek(0)
    header = npy.read_array_header_1_0 if npy.read_magic(handle)[0] == 1 else npy.read_array_header_2_0
    shape, _, dtype = header(handle)
    if len(shape) < 2 or any(side != 1 for side in shape[:-2]) or dtype.hasobject:
        raise ImageError("bad-image", f"{name} must be an array (H, W) of numbers, got {dtype} {shape}", path=name)
    check_size((shape[-1], shape[-2]), name, max_pixels)
    start, end = handle.tell(), handle.seek(0, 2)
    if end - start < math.prod(shape) * dtype.itemsize:
        raise ImageError("image-truncated", f"{name}: the array is cut off before its end; copy it again", path=name)
    handle.seek(0)
    return np.asarray(np.load(handle, allow_pickle=False)).reshape(shape[-2:])


def _as_labels(values: NDArray[Any], name: str) -> NDArray[np.int32]:
    kind = values.dtype.kind
    if kind == "f" and values.min() >= 0 and values.max() <= 1:
        return (values >= 0.5).astype(np.int32)
    if kind not in "bui" or values.min() < 0 or values.max() > _LARGEST:
        held = f"{values.dtype} numbers" + (f" from {values.min()} to {values.max()}" if kind in "buif" else "")
        message = f"{name} holds {held}; labels are whole numbers from 0, fractions of a mask lie in [0, 1]"
        raise ImageError("bad-image", message, path=name)
    return values.astype(np.int32)
