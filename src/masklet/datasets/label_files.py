"""Mask files of datasets: label maps, and masks of one object each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.annotation import Annotation, annotation_from_label_map, annotation_from_masks, distinct_labels
from masklet.files.image_files import JPEG_SUFFIXES
from masklet.images import MAX_PIXELS
from masklet.images.image_file import decode_image, open_source
from masklet.masks.mask_reader import read_gray_palette, read_mask
from masklet.masks.soft_masks import harden

_BLACK_AND_WHITE = frozenset({0, 255})


def read_labels(path: Path) -> NDArray[Any]:
    """Read the values (H, W) of a label map as stored: palette indices, or gray levels of any bit depth.

    Unlike `read_mask`, it takes gray levels as object ids, except in JPEG files, whose values are not exact, and in
    masks with a soft rim, which become black and white.
    """
    with open_source(path) as handle:
        decoded = decode_image(handle, str(path), MAX_PIXELS)
    exact = path.suffix.lower() not in JPEG_SUFFIXES
    if decoded.image.mode == "P":
        gray = read_gray_palette(decoded.image)
        return np.asarray(decoded.image) if gray is None else gray
    if exact and decoded.image.mode == "L" and decoded.bits == 8:
        return harden(np.asarray(decoded.image))
    return read_mask(path)


def read_label_map(path: Path, *, binary: bool = False) -> Annotation:
    """Read the objects of a label map; see `annotation_from_label_map`."""
    return annotation_from_label_map(read_labels(path), binary=binary)


def read_object_masks(paths: Mapping[int, Path]) -> Annotation:
    """Read objects with a file each, in which 0 is the background. Raises `FormatError` if the sizes differ."""
    return annotation_from_masks({key: read_labels(path) != 0 for key, path in paths.items()})


def is_black_and_white(labels: NDArray[Any]) -> bool:
    """Return whether a map has no values but 0 and 255, so that 255 means one object, not object id 255."""
    return labels.dtype == np.uint8 and distinct_labels(labels) <= _BLACK_AND_WHITE
