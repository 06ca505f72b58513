"""Mask files: images and arrays whose values are objects, read as label maps."""

from __future__ import annotations

import math
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

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
from masklet.masks.soft_masks import harden, is_soft_mask

_MAX_LABEL = 2**31 - 1
_WHITE_16 = 2**16 - 1
_MAX_TINT = 31  # the largest difference between channels of a gray pixel after lossy compression
_NPY = b"\x93NUMPY"


def read_mask(source: Any, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.int32]:
    """Read a mask file as a label map.

    | content                                | labels                                                               |
    |----------------------------------------|----------------------------------------------------------------------|
    | palette, 1-bit, 16-bit, 32-bit         | its values                                                           |
    | palette of grays, a soft mask          | as gray; also if index 0 of the palette is not black                 |
    | 16-bit gray with a soft rim            | 1 from half of the largest value on, else 0                          |
    | gray, no value above 127               | its values (of 2- and 4-bit files the stored ones)                   |
    | gray, a value above 127                | 1 from 128 on, else 0: a mask in black and white, perhaps compressed |
    | gray or color with transparent pixels  | 1 where alpha is at least 128, else 0                                |
    | RGB, all pixels nearly gray            | as gray                                                              |
    | RGB, all colors from DAVIS's palette   | their indices in the palette                                         |
    | fractions in [0, 1] (.npy, TIFF)       | 1 from 0.5 on, else 0                                                |
    | .npy of booleans or whole numbers      | its values                                                           |

    Args:
        source: A path, bytes or an open binary file, of an image as in `read_image` or of an array (.npy).
        max_pixels: The largest number of pixels that is read.

    Returns:
        Labels (H, W) int32: 0 on the background, else the number of the object.

    Raises:
        ImageError: As in `read_image`; `bad-image` also for other colors, for numbers that are not labels and for
            arrays of another shape.
        InputNotFound: The file is missing, unreadable or empty.

    Example:
        >>> labels = masklet.read_mask("00000.png")
        >>> prompts = {int(k): masklet.mask(labels == k) for k in np.unique(labels) if k}
    """
    name = describe_source(source)
    with open_source(source) as handle, translate_image_errors(name):
        if handle.read(len(_NPY)) == _NPY:
            return _to_labels(_read_npy(handle, name, max_pixels), name)
        return _to_labels(_read_values(decode_image(handle, name, max_pixels)), name)


def _read_values(decoded: DecodedImage) -> NDArray[Any]:
    """Return the numbers of a decoded image, or the mask that its colors or its transparency show."""
    image = decoded.image
    if image.mode == "P":
        gray = read_gray_palette(image)
        return np.array(image) if gray is None else _read_gray(gray)
    if image.mode in {*DEEP, "1"}:
        values = np.array(image)
        is_soft = image.mode.startswith("I;16") and is_soft_mask(values, _WHITE_16)
        return values > _WHITE_16 // 2 if is_soft else values
    if image.has_transparency_data:
        alpha = np.array(image.convert("RGBA").getchannel("A"))
        if alpha.min() < 255 and alpha.any():  # some programs leave alpha at 0 everywhere
            return alpha >= 128
    if image.mode != "L":
        return _read_colors(np.array(image.convert("RGB")), decoded.name)
    return _read_gray(np.array(image) // (255 // (2 ** min(decoded.bits, 8) - 1)))  # Pillow scales 2 and 4 bits


def read_gray_palette(image: Image.Image) -> NDArray[np.uint8] | None:
    """Return the gray levels of a palette image that is a gray mask, or None if its indices are labels.

    It is a mask if all colors are gray, and they show a mask with a soft rim or have a background that is not index 0.
    Programs write such files when they reduce the colors of a mask.
    """
    indices = np.array(image)
    colors = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    if used[-1] >= len(colors) or np.ptp(colors[used].astype(np.int32), axis=1).any():
        return None
    levels = np.zeros(256, np.uint8)
    levels[: len(colors)] = colors[:, 0]
    gray = levels[indices]
    hardened = harden(gray)
    is_mask = hardened is not gray or (colors[0].any() and not gray.all())
    return hardened if is_mask else None


def _read_gray(gray: NDArray[np.uint8]) -> NDArray[Any]:
    return gray >= 128 if gray.max() > 127 else gray


def _read_colors(rgb: NDArray[np.uint8], name: str) -> NDArray[Any]:
    if np.ptp(rgb, axis=2).max() <= _MAX_TINT:
        return _read_gray(rgb.max(axis=2))
    colors = rgb.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    palette = make_davis_palette().astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    order = np.argsort(palette)
    place = np.minimum(np.searchsorted(palette[order], colors), 255)
    if (palette[order][place] != colors).any():
        message = f"{name} is a color image, not a mask; save masks in black and white, or labels with a palette"
        raise ImageError("bad-image", message, path=name)
    return order[place]


def _read_npy(handle: BinaryIO, name: str, max_pixels: int) -> NDArray[Any]:
    """Read an array (H, W) or (1, …, H, W) after checking its header."""
    handle.seek(0)
    header = npy.read_array_header_1_0 if npy.read_magic(handle)[0] == 1 else npy.read_array_header_2_0
    try:
        shape, _, dtype = header(handle)
    except (SyntaxError, TokenError, TypeError, RecursionError) as cause:  # of a text that is no Python literal
        message = f"{name}: the header of the array is broken: {cause}"
        raise ImageError("image-broken", message, path=name) from cause
    if len(shape) < 2 or any(side != 1 for side in shape[:-2]) or dtype.hasobject:
        raise ImageError("bad-image", f"{name} must be an array (H, W) of numbers, got {dtype} {shape}", path=name)
    check_size((shape[-1], shape[-2]), name, max_pixels)
    start, end = handle.tell(), handle.seek(0, 2)
    if end - start < math.prod(shape) * dtype.itemsize:
        raise ImageError("image-truncated", f"{name}: the array file ends too early; copy it again", path=name)
    handle.seek(0)
    return np.asarray(np.load(handle, allow_pickle=False)).reshape(shape[-2:])


def _to_labels(values: NDArray[Any], name: str) -> NDArray[np.int32]:
    kind = values.dtype.kind
    if kind == "f" and values.min() >= 0 and values.max() <= 1:
        return (values >= 0.5).astype(np.int32)
    if kind not in "bui" or values.min() < 0 or values.max() > _MAX_LABEL:
        content = f"{values.dtype} numbers" + (f" from {values.min()} to {values.max()}" if kind in "buif" else "")
        message = f"{name} holds {content}; labels must be whole numbers from 0, or fractions in [0, 1] of a mask"
        raise ImageError("bad-image", message, path=name)
    return values.astype(np.int32)
