"""Mask files: the masks of one image as PNG, JSON or NPZ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from masklet.masks.label_map import make_label_map, write_label_map, write_mask


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
