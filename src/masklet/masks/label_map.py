"""Label maps: images whose values are object ids, and black-and-white images of one mask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.errors import FormatError
from masklet.masks.labels import make_png_text

MAX_OBJECT_ID = 2**16 - 1  # in an image of 16 bits per pixel; 0 is the background


def make_davis_palette() -> NDArray[np.uint8]:
    """Return the 256 RGB colors (256, 3) of PASCAL VOC and DAVIS.

    Bits 0, 3 and 6 of an index make its red value, bits 1, 4 and 7 green, bits 2 and 5 blue, the highest bit first.
    """
    index = np.arange(256)
    channels = [sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3)) for channel in range(3)]
    return np.stack(channels, axis=1).astype(np.uint8)


def make_label_map(
    masks: NDArray[np.bool_], object_ids: Sequence[int], size: tuple[int, int]
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Draw masks into one label map.

    Args:
        masks: Masks (N, H, W).
        object_ids: The N object ids. Where masks overlap, the smallest id wins.
        size: The size (H, W), which also holds without masks.

    Returns:
        Object ids (H, W), 0 on the background: uint8 if all ids are below 256, else uint16.

    Raises:
        FormatError: An object id is not in 1 … 65535.
    """
    check_object_ids(object_ids)
    labels = np.zeros(size, np.uint8 if max(object_ids, default=0) < 256 else np.uint16)
    for index in sorted(range(len(object_ids)), key=lambda index: -object_ids[index]):
        labels[masks[index]] = object_ids[index]
    return labels


def check_object_ids(object_ids: Iterable[int]) -> None:
    """Raise `FormatError` for an object id that a label map cannot hold."""
    invalid = [object_id for object_id in object_ids if not 1 <= object_id <= MAX_OBJECT_ID]
    if invalid:
        message = f"a label map holds object ids from 1 to {MAX_OBJECT_ID}, got {invalid[0]}; save as .npz or .json"
        raise FormatError("unsupported-format", message)


def write_label_map(
    handle: BinaryIO, labels: NDArray[np.uint8] | NDArray[np.uint16], names: Mapping[int, str | None] | None = None
) -> None:
    """Write a label map (H, W) as PNG: 8 bits with the palette of DAVIS, or 16 bits of gray.

    `names` are the labels of the objects by object id, which are written to a text chunk.
    """
    image = Image.fromarray(labels)
    if labels.dtype == np.uint8:
        image.putpalette(make_davis_palette().tobytes())
    image.save(handle, "PNG", pnginfo=make_png_text(names or {}))


def write_mask(handle: BinaryIO, mask: NDArray[np.bool_], label: str | None = None) -> None:
    """Write one mask (H, W) as a PNG of 8 bits: 255 on the object, 0 elsewhere. The label is that of object 1."""
    Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).save(handle, "PNG", pnginfo=make_png_text({1: label}))
