"""Mask files: the masks of one image as PNG, JSON or NPZ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.masks.crop import Crop
from masklet.masks.label_map import make_label_map, write_label_map, write_mask

_WHOLE_IMAGE = (-1, -1, -1, -1)  # in place of a crop


def write_png(
    handle: BinaryIO,
    masks: NDArray[np.bool_],
    object_ids: Sequence[int],
    size: tuple[int, int],
    labels: Sequence[str | None],
) -> None:
    """Write one mask in black and white, or several masks (N, H, W) as a label map, with the labels of the objects.

    Raises:
        FormatError: There are several masks, and an object id does not fit into a label map.
    """
    if len(masks) == 1:
        write_mask(handle, masks[0], labels[0])
    else:
        names = dict(zip(object_ids, labels, strict=True))
        write_label_map(handle, make_label_map(masks, object_ids, size), names)


def write_json(handle: BinaryIO, size: tuple[int, int], columns: dict[str, Sequence[Any]]) -> None:
    """Write `size` (H, W) and one object per mask, whose fields are the N values of each column."""
    entries = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    handle.write(json.dumps({"size": list(size), "masks": entries}).encode())


def write_npz(handle: BinaryIO, **fields: NDArray[Any]) -> None:
    """Write arrays by their names, uncompressed."""
    np.savez(handle, **fields)  # type: ignore[arg-type]


def crops_to_array(crops: Sequence[Crop | None]) -> NDArray[np.int64]:
    """Return crops as an array (N, 4): left, top, right, bottom, or a row of −1 for the whole image."""
    return np.array([_WHOLE_IMAGE if crop is None else crop for crop in crops], np.int64)


def crops_from_array(rows: NDArray[np.int64], size: tuple[int, int]) -> tuple[Crop | None, ...]:
    """Return the crops of an array (N, 4) as `crops_to_array` makes it.

    Args:
        rows: The array.
        size: The image's (H, W).

    Raises:
        FormatError: A crop is empty, or not inside the image.
    """
    crops = [None if row == _WHOLE_IMAGE else Crop(*row) for row in map(tuple, rows.tolist())]
    height, width = size
    for number, crop in enumerate(crops):
        if crop and not (0 <= crop.left < crop.right <= width and 0 <= crop.top < crop.bottom <= height):
            message = f"crop {number} of an image of {height} × {width} pixels cannot be {list(crop)}"
            raise FormatError("annotation-broken", message)
    return tuple(crops)
