"""From whatever colours a decoded picture has to RGB, by the rules that `read_image` states."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from masklet.errors import warn
from masklet.images.bit_depth import Range, to_uint8, warn_depth_reduced

DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # Pillow's modes whose numbers have more than 8 bits


class DecodedImage(NamedTuple):
    """A decoded, upright picture: its name for messages, and what its file says and the PIL image does not."""

    image: Image.Image
    name: str
    bits: int = 8  # per channel
    white_is_zero: bool = False  # of a deep one; Pillow sees to the others


def image_to_rgb(picture: DecodedImage, value_range: Range | None = None) -> NDArray[np.uint8]:
    """A picture as (H, W, 3) uint8 RGB."""
    image = picture.image
    if image.mode in DEEP:
        return _from_numbers(picture, value_range)
    key = image.info.get("transparency")
    if picture.bits == 16:  # of which Pillow has kept the high 8
        warn_depth_reduced()
        image.info.pop("transparency", None)  # a key colour of 16 bits means nothing among colours of 8
    elif picture.bits in {2, 4} and image.mode == "L" and isinstance(key, int):
        image.info["transparency"] = key * 255 // (2**picture.bits - 1)  # Pillow has stretched the greys only
    if image.mode == "LAB":
        image = _from_lab(image)
    if image.has_transparency_data:
        image = composite_on_black(image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def composite_on_black(image: Image.Image) -> Image.Image:
    """A PIL image with transparency, composited on black; warns where that changes a pixel."""
    layers = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    if layers.getchannel("A").getextrema() == (255, 255):
        return layers.convert("RGB")
    warn("alpha-composited", "put on black what is transparent")
    flat = Image.new("RGB", layers.size)
    flat.paste(layers, mask=layers)
    return flat


def _from_numbers(picture: DecodedImage, value_range: Range | None) -> NDArray[np.uint8]:
    """16-bit grey, 32-bit and floating-point pictures."""
    numbers: NDArray[Any] = np.array(picture.image)
    grey = to_uint8(numbers, picture.name, value_range, bits=picture.bits)
    if picture.white_is_zero:
        grey = 255 - grey
    key = picture.image.info.get("transparency")
    if key is not None:
        grey[numbers == key] = 0
    return np.repeat(grey[:, :, None], 3, axis=2)


def _from_lab(image: Image.Image) -> Image.Image:
    """CIE Lab as sRGB."""
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None, "not in place"
    return converted
