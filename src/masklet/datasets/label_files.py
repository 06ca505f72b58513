"""Mask files of data sets: label maps whose values are objects, and masks of one object each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.annotation import Annotation, from_labels, from_masks, label_values
from masklet.files.image_files import JPEG_SUFFIXES
from masklet.images import MAX_PIXELS, read_mask
from masklet.images.image_file import decode_image, open_source

_BLACK_AND_WHITE = frozenset({0, 255})


def read_labels(path: Path) -> NDArray[Any]:
    """The values (H, W) of a label map as they are stored: palette indices, or greys of any depth.

    `read_mask` has to guess what an unknown picture means; here a grey is a number, never black or white, but in a
    JPEG, whose greys are not exact.
    """
    with open_source(path) as handle:
        picture = decode_image(handle, str(path), MAX_PIXELS)
    exact = path.suffix.lower() not in JPEG_SUFFIXES
    if picture.image.mode == "P" or (exact and picture.image.mode == "L" and picture.bits == 8):
        return np.asarray(picture.image)
    return read_mask(path)


def read_label_map(path: Path, *, binary: bool = False) -> Annotation:
    """The objects of a label map, or with `binary` whatever is not 0 as object 1; see `from_labels`."""
    return from_labels(read_labels(path), binary=binary)


def read_object_masks(paths: Mapping[int, Path]) -> Annotation:
    """Objects with a file each, whatever is not 0 in it. Raises `FormatError` if the files differ in size."""
    return from_masks({key: read_labels(path) != 0 for key, path in paths.items()})


def black_and_white(labels: NDArray[Any]) -> bool:
    """Whether a map has no other values than 0 and 255: one object, not number 255."""
    return labels.dtype == np.uint8 and label_values(labels) <= _BLACK_AND_WHITE
