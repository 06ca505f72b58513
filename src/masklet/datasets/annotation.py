"""Ground-truth masks of an image or a frame, decoded one by one on access."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.files.json_fields import name_errors
from masklet.masks import rle

Mask = NDArray[np.bool_]
VOID = 255  # in an 8-bit label map: pixels that evaluation ignores (PASCAL VOC, DAVIS)


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """Ground-truth masks of one image. Masks may overlap.

    Attributes:
        size: (H, W) of the image.
        decoders: Decoder of each mask, by object id.
        void: Mask (H, W) of the pixels that evaluation ignores, or None.
        categories: Category of each object, if the dataset has categories.
    """

    size: tuple[int, int]
    decoders: Mapping[int, Callable[[], Mask]]
    void: Mask | None = None
    categories: Mapping[int, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Annotation(size={self.size}, object_ids={list(self.object_ids)})"

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The annotated objects, ascending."""
        return tuple(sorted(self.decoders))

    def mask(self, object_id: int) -> Mask:
        """Decode the mask (H, W) of an object. It is empty if the object is not annotated.

        Raises `FormatError` for broken RLE, and for a mask whose size is not the image's.
        """
        decode = self.decoders.get(object_id)
        if decode is None:
            return np.zeros(self.size, bool)
        decoded = decode()
        if decoded.shape != self.size:
            raise FormatError(
                "dataset-broken", f"object {object_id} has a mask of {decoded.shape}, its image has {self.size}"
            )
        return decoded


def annotation_from_rle(codes: Mapping[int, Mapping[str, Any]], size: tuple[int, int], source: object) -> Annotation:
    """Build an annotation from COCO RLE by object id. Decoding errors name the file `source`."""
    return Annotation(size, {key: partial(_decode, code, source) for key, code in codes.items()})


def annotation_from_masks(masks: Mapping[int, Mask]) -> Annotation:
    """Build an annotation from one or more masks (H, W). Raises `FormatError` if their sizes differ."""
    sizes = {mask.shape for mask in masks.values()}
    if len(sizes) != 1:
        raise FormatError("dataset-broken", f"masks of one image must have one size, got {sorted(sizes)}")
    return Annotation(sizes.pop(), {key: partial(np.asarray, mask) for key, mask in masks.items()})


def annotation_from_label_map(labels: NDArray[Any], *, binary: bool = False) -> Annotation:
    """Build an annotation from a label map (H, W), in which 0 is the background.

    With `binary`, all other values are object 1. Otherwise 255 is void in 8-bit maps.
    """
    if binary:
        foreground = labels != 0
        return Annotation(foreground.shape, {1: partial(np.asarray, foreground)} if foreground.any() else {})
    values = distinct_labels(labels) - {0}
    void = labels == VOID if labels.dtype == np.uint8 and VOID in values else None
    objects = values if void is None else values - {VOID}
    return Annotation(labels.shape, {value: partial(np.equal, labels, value) for value in objects}, void)


def _decode(code: Mapping[str, Any], source: object) -> Mask:
    with name_errors(source):
        return rle.decode(code)


def distinct_labels(labels: NDArray[Any]) -> set[int]:
    """Return the distinct values of a label map. Values of 8 bits are counted in a histogram, not sorted."""
    if labels.dtype != np.uint8:
        return set(np.unique(labels).tolist())
    counts = cv2.calcHist([np.ascontiguousarray(labels)], [0], None, [256], [0, 256])
    return set(np.flatnonzero(counts).tolist())
