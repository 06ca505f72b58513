"""Image reader: a file, bytes, an array, a PIL image or a tensor as (H, W, 3) uint8 RGB."""

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
from masklet.images.image_source import ImageSource
from masklet.images.in_memory import array_to_rgb, check_sides, tensor_to_rgb


def read_image(
    source: ImageSource, *, max_pixels: int = MAX_PIXELS, value_range: Range | None = None
) -> NDArray[np.uint8]:
    """Read an image as RGB, upright.

    Files are JPEG, PNG, WebP, TIFF or BMP, detected by content. The orientation in EXIF is applied once and ignored if
    it is broken; color profiles are not applied. A PIL image straight from `Image.open` is read like its file, other
    PIL images as they are.

    | content                           | conversion                                                               |
    |-----------------------------------|--------------------------------------------------------------------------|
    | 1 bit, boolean                    | 0 and 255                                                                |
    | gray, palette                     | to its colors                                                            |
    | transparency of any kind          | composited on black, with a warning `alpha-composited`                   |
    | CMYK (also Adobe's YCCK), YCbCr   | without a profile                                                        |
    | Lab                               | to sRGB                                                                  |
    | 16 (or 12) bits per channel       | the high 8 bits, with a warning `depth-reduced`; or by `value_range`     |
    | 32 bits or floating point         | by `value_range`, else refused (`float-needs-range`)                     |
    | several pages or an animation     | the first one, with a warning                                            |

    The transparent color of 16-bit RGB is not applied.

    Args:
        source: A path, the bytes of a file, an open binary file, a PIL image, an array (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4), or a tensor (H, W) or (C, H, W) of whole numbers or of fractions in [0, 1].
        max_pixels: The largest number of pixels that is decoded.
        value_range: (low, high) of numbers with more than 8 bits, which is scaled to 0 … 255. Values outside are
            clipped, NaN becomes 0.

    Returns:
        The image (H, W, 3) uint8 RGB. An array that has this shape and dtype is returned itself.

    Raises:
        ImageError: `unsupported-format`, `too-many-pixels` (before decoding), `bad-dimensions`, `image-truncated`,
            `image-broken`, `float-needs-range`, or `bad-image` for a source that is not an image.
        InputNotFound: The file is missing, unreadable or empty.
        SettingsError: `value_range` is not (low, high) with low < high.

    Example:
        >>> image = masklet.read_image("examples/coffee.jpg")
        >>> depth = masklet.read_image("depth.tif", value_range=(0.0, 10.0))
    """
    check_range(value_range)
    if not isinstance(source, Image.Image):
        if all(hasattr(source, name) for name in ("detach", "cpu", "numpy")):
            return tensor_to_rgb(source, value_range)
        if hasattr(source, "__array__"):
            return array_to_rgb(np.asarray(source), value_range)
    decoded = _decode_pil(source, max_pixels) if isinstance(source, Image.Image) else _decode_file(source, max_pixels)
    with translate_image_errors(decoded.name):
        return image_to_rgb(decoded, value_range)


def _decode_file(source: Any, max_pixels: int) -> DecodedImage:
    with open_source(source) as handle:
        return decode_image(handle, describe_source(source), max_pixels)


def _decode_pil(image: Image.Image, max_pixels: int) -> DecodedImage:
    """Decode a PIL image; one straight from a file is not decoded yet and may not be upright."""
    name = "the PIL image"
    if not isinstance(image, ImageFile.ImageFile):
        check_sides(*image.size, name)
        return DecodedImage(image, name)
    with translate_image_errors(name):
        return decode_opened(image, name, max_pixels)
