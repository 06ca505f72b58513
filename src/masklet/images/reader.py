"""Any picture as (H, W, 3) uint8 RGB: from a file, bytes, an array, a PIL image or a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from masklet.images.bit_depth import Range, check_range
from masklet.images.colors import DecodedImage, image_to_rgb
from masklet.images.image_file import (
    MAX_PIXELS,
    decode_image,
    decode_opened,
    describe_source,
    open_source,
    translate_image_errors,
)
from masklet.images.in_memory import array_to_rgb, tensor_to_rgb


def read_image(source: Any, *, max_pixels: int = MAX_PIXELS, value_range: Range | None = None) -> NDArray[np.uint8]:
    """The picture as an array (H, W, 3) uint8 RGB, upright.

    `source` is a path, the bytes of a file, an open binary file, a PIL image, an array or a tensor. Files are JPEG,
    PNG, WebP, TIFF or BMP, told by their content; the orientation in EXIF is applied once, the colour profile is not.
    Arrays are (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); tensors, as everywhere in PyTorch, (H, W) or (C, H, W), whole
    numbers like arrays or fractions in [0, 1]. A PIL image straight from `Image.open` is read like its file, any other
    is taken as it stands. An array (H, W, 3) uint8 comes back itself, not a copy.

    | what it holds                     | what becomes of it                                                       |
    |-----------------------------------|--------------------------------------------------------------------------|
    | 1 bit, boolean                    | 0 and 255                                                                |
    | grey, palette                     | its colours                                                              |
    | transparency of any kind          | composited on black, with a warning `alpha-composited`                   |
    | CMYK (also Adobe's YCCK), YCbCr   | converted without a profile                                              |
    | Lab                               | converted to sRGB                                                        |
    | 16 (or 12) bits a channel         | the high 8 bits, with a warning `depth-reduced`; or by `value_range`     |
    | 32 bits or floating point         | refused (`float-needs-range`) unless `value_range` is given              |
    | several pages or an animation     | the first one, with a warning `first-picture-only`                       |

    `value_range` is (low, high): numbers of more than 8 bits are stretched from it to 0 … 255 and clipped, NaN is 0.
    The key colour of 16-bit RGB with transparency is not applied. Broken EXIF counts as none.

    Raises `ImageError`: `unsupported-format`, `too-many-pixels` (before decoding), `bad-dimensions`,
    `image-truncated`, `image-broken`, `float-needs-range`, `bad-image` for what is no picture; `InputNotFound` for
    files that are missing, unreadable or empty.
    """
    check_range(value_range)
    if not isinstance(source, Image.Image):
        if all(hasattr(source, name) for name in ("detach", "cpu", "numpy")):
            return tensor_to_rgb(source, value_range)
        if hasattr(source, "__array__"):
            return array_to_rgb(np.asarray(source), value_range)
    picture = _in_memory(source, max_pixels) if isinstance(source, Image.Image) else _in_file(source, max_pixels)
    with translate_image_errors(picture.name):
        return image_to_rgb(picture, value_range)


def _in_file(source: Any, max_pixels: int) -> DecodedImage:
    with open_source(source) as handle:
        return decode_image(handle, describe_source(source), max_pixels)


def _in_memory(image: Image.Image, max_pixels: int) -> DecodedImage:
    """A PIL image; one straight from a file is not decoded yet and may lie on its side."""
    name = "the PIL image"
    if not isinstance(image, ImageFile.ImageFile):
        return DecodedImage(image, name)
    with translate_image_errors(name):
        return decode_opened(image, name, max_pixels)
