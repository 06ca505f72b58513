"""Color conversion of decoded images to RGB, by the rules of `read_image`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from masklet.errors import warn
from masklet.images.bit_depth import Range, to_uint8, warn_depth_reduced

DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # modes of Pillow with more than 8 bits per number


class DecodedImage(NamedTuple):
    """A decoded, upright image.

    Attributes:
        image: The PIL image.
        name: Name of the image in messages.
        bits: Bits per channel in the file.
        white_is_zero: Whether 0 is white. Only for modes in `DEEP`; Pillow inverts the others itself.
        is_unsigned: Whether the 32-bit numbers, which Pillow takes for signed ones, are unsigned.
    """

    image: Image.Image
    name: str
    bits: int = 8
    white_is_zero: bool = False
    is_unsigned: bool = False


def image_to_rgb(decoded: DecodedImage, value_range: Range | None = None) -> NDArray[np.uint8]:
    """Convert a decoded image to (H, W, 3) uint8 RGB."""
    image = decoded.image
    if image.mode in DEEP:
        return _convert_deep(decoded, value_range)
    key = image.info.get("transparency")
    if decoded.bits == 16:  # Pillow has decoded the high 8
        warn_depth_reduced()
        image.info.pop("transparency", None)  # a transparent color of 16 bits does not exist in 8 bits
    elif decoded.bits in {2, 4} and image.mode == "L" and isinstance(key, int):
        image.info["transparency"] = key * 255 // (2**decoded.bits - 1)  # Pillow scales only the gray values
    if image.mode == "LAB":
        image = _convert_lab(image)
    if image.has_transparency_data:
        image = composite_on_black(image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def composite_on_black(image: Image.Image) -> Image.Image:
    """Composite a PIL image with transparency on black; warn if that changes a pixel."""
    layers = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    if layers.getchannel("A").getextrema() == (255, 255):
        return layers.convert("RGB")
    warn("alpha-composited", "composited transparent pixels on black")
    flat = Image.new("RGB", layers.size)
    flat.paste(layers, mask=layers)
    return flat


def _convert_deep(decoded: DecodedImage, value_range: Range | None) -> NDArray[np.uint8]:
    """Convert 16-bit gray, 32-bit and floating-point images."""
    numbers: NDArray[Any] = np.array(decoded.image)
    if decoded.is_unsigned:
        numbers = numbers.view(np.uint32)
    gray = to_uint8(numbers, decoded.name, value_range, bits=decoded.bits)
    if decoded.white_is_zero:
        gray = 255 - gray
    key = decoded.image.info.get("transparency")
    if key is not None:
        gray[numbers == key] = 0
    return np.repeat(gray[:, :, None], 3, axis=2)


def _convert_lab(image: Image.Image) -> Image.Image:
    """Convert CIE Lab to sRGB."""
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None, "profileToProfile returns an image unless inPlace is set"
    return converted
