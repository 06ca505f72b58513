"""Masks as pictures: one mask in black and white, or several in one whose values are the object ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.errors import FormatError

LARGEST_ID = 2**16 - 1  # in a picture with 16 bits per pixel; 0 is the background


def davis_palette() -> NDArray[np.uint8]:
    """The 256 colours (256, 3) of PASCAL VOC and DAVIS: bits 0, 3, 6 of an index make its red, high bit first, …"""
    index = np.arange(256)
    channels = [sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3)) for channel in range(3)]
    return np.stack(channels, axis=1).astype(np.uint8)


def label_map(
    masks: NDArray[np.bool_], object_ids: Sequence[int], size: tuple[int, int]
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Masks (N, H, W) as one picture (H, W) of object ids, 0 where there is none; the smallest id wins overlaps.

    8 bits if the ids fit, else 16. Raises `FormatError` for an id that is not in 1 … 65535.
    """
    check_ids(object_ids)
    labels = np.zeros(size, np.uint8 if max(object_ids, default=0) < 256 else np.uint16)
    for index in sorted(range(len(object_ids)), key=lambda index: -object_ids[index]):
        labels[masks[index]] = object_ids[index]
    return labels


def check_ids(object_ids: Iterable[int]) -> None:
    """Raises `FormatError` for an id that no picture of object ids can hold."""
    unfit = [object_id for object_id in object_ids if not 1 <= object_id <= LARGEST_ID]
    if unfit:
        message = f"a picture of object ids holds 1 to {LARGEST_ID}, not {unfit[0]}; save as .npz or .json"
        raise FormatError("unsupported-format", message)


def write_label_map(handle: BinaryIO, labels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """A PNG of object ids (H, W): 8 bits with the colours of DAVIS, or 16 bits grey."""
    picture = Image.fromarray(labels)
    if labels.dtype == np.uint8:
        picture.putpalette(davis_palette().tobytes())
    picture.save(handle, "PNG")


def write_mask(handle: BinaryIO, mask: NDArray[np.bool_]) -> None:
    """A PNG of one mask (H, W): 255 on the object, 0 elsewhere."""
    Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).save(handle, "PNG")
