"""Which pixels belong to which object in a picture or a frame: true masks, decoded one by one when asked for."""

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
VOID = 255  # in a label map of 8 bits: pixels that nobody decided about (PASCAL VOC, DAVIS)


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """The true masks of one picture of `size` (H, W), by object id; `void` (H, W) marks pixels that do not count.

    Masks may overlap. `categories` names what the objects are, where the data set does.
    """

    size: tuple[int, int]
    decoders: Mapping[int, Callable[[], Mask]]
    void: Mask | None = None
    categories: Mapping[int, str] = field(default_factory=dict)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The annotated objects, ascending."""
        return tuple(sorted(self.decoders))

    def mask(self, object_id: int) -> Mask:
        """The object's mask (H, W), decoded now; empty where it is not annotated.

        Raises `FormatError` for a broken code and for a mask of another size than the picture.
        """
        decode = self.decoders.get(object_id)
        if decode is None:
            return np.zeros(self.size, bool)
        found = decode()
        if found.shape != self.size:
            raise FormatError(
                "dataset-broken", f"object {object_id} has a mask of {found.shape}, its picture {self.size}"
            )
        return found


def from_codes(codes: Mapping[int, Mapping[str, Any]], size: tuple[int, int], source: object) -> Annotation:
    """Objects as COCO run-length codes; an error of decoding names the file `source`."""
    return Annotation(size, {key: partial(_decode, code, source) for key, code in codes.items()})


def from_masks(masks: Mapping[int, Mask]) -> Annotation:
    """Objects as arrays (H, W), at least one. Raises `FormatError` if they differ in size."""
    sizes = {mask.shape for mask in masks.values()}
    if len(sizes) != 1:
        raise FormatError("dataset-broken", f"masks of one picture must be of one size, got {sorted(sizes)}")
    return Annotation(sizes.pop(), {key: partial(np.asarray, mask) for key, mask in masks.items()})


def from_labels(labels: NDArray[Any], *, binary: bool = False) -> Annotation:
    """Objects as the values of a label map (H, W), 0 is background; with `binary` whatever is not 0 is object 1.

    Otherwise 255 is void if the map is of 8 bits.
    """
    if binary:
        found = labels != 0
        return Annotation(found.shape, {1: partial(np.asarray, found)} if found.any() else {})
    values = label_values(labels) - {0}
    void = labels == VOID if labels.dtype == np.uint8 and VOID in values else None
    objects = values if void is None else values - {VOID}
    return Annotation(labels.shape, {value: partial(np.equal, labels, value) for value in objects}, void)


def _decode(code: Mapping[str, Any], source: object) -> Mask:
    with name_errors(source):
        return rle.decode(code)


def label_values(labels: NDArray[Any]) -> set[int]:
    """The different values of a label map; where there are few, counting is faster than sorting."""
    if labels.dtype != np.uint8:
        return set(np.unique(labels).tolist())
    counts = cv2.calcHist([np.ascontiguousarray(labels)], [0], None, [256], [0, 256])
    return set(np.flatnonzero(counts).tolist())
