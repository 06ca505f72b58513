"""Matching of detections with objects that are known on an image, so that no object is found twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.detectors.detections import Detections
from masklet.masks.iou import box_iou, mask_iou
from masklet.masks.masks import Masks

_SAME_CLASS_IOU = 0.3  # box IoU from which a detection is the known object of its class: a mask may be partly hidden
_OTHER_CLASS_IOU = 0.8  # the same with an object of another class, which keeps its class
_DUPLICATE_IOU = 0.8  # mask IoU from which two objects of different classes are one


class KnownMask(NamedTuple):
    """Mask (H, W) bool of an object that is known, and its label."""

    label: str | None
    mask: NDArray[np.bool_]


class Matches(NamedTuple):
    """Matches of detections.

    Attributes:
        known: Positions of detections by the id of the known object that they show.
        new: Positions of the other detections.
    """

    known: dict[int, int]
    new: list[int]


def match_detections(detections: Detections, objects: Masks) -> Matches:
    """Match each detection with at most one known object, and each object with at most one detection.

    Pairs with the highest box IoU come first. A pair of one class needs an IoU of 0.3, a pair of two classes 0.8. An
    object without a label matches every class. A hidden object, whose mask is empty, has no match.
    """
    overlaps = box_iou(detections.boxes, objects.boxes)
    limits = np.array(
        [[_SAME_CLASS_IOU if known in (None, label) else _OTHER_CLASS_IOU for known in objects.labels]
         for label in detections.labels]
    ).reshape(overlaps.shape)  # fmt: skip
    pairs = np.argwhere(overlaps >= limits)
    order = np.argsort(-overlaps[pairs[:, 0], pairs[:, 1]], kind="stable")
    known: dict[int, int] = {}
    matched: set[int] = set()
    for detection, position in pairs[order].tolist():
        object_id = objects.object_ids[position]
        if detection not in matched and object_id not in known:
            known[object_id] = detection
            matched.add(detection)
    return Matches(known, [position for position in range(len(detections)) if position not in matched])


def list_known(masks: Masks) -> list[KnownMask]:
    """Return masks as those of known objects."""
    return list(map(KnownMask, masks.labels, masks.binary))


def select_distinct(candidates: Masks, objects: Sequence[KnownMask], min_uncovered: float) -> list[int]:
    """Select the masks that are objects of their own.

    A mask is left out if it is empty, if less than `min_uncovered` of it is free of objects of its class, or if it is
    the mask of an object of another class.

    Args:
        candidates: Masks with labels, the most important first. A selected one counts as an object for those after it.
        objects: Known objects. Those without a label count as objects of every class.
        min_uncovered: Smallest share, from 0 to 1.

    Returns:
        Positions of the selected masks.
    """
    found, selected = [known for known in objects if known.mask.any()], list[int]()
    for position, candidate in enumerate(list_known(candidates)):
        if _is_distinct(candidate, found, min_uncovered):
            selected.append(position)
            found.append(candidate)
    return selected


def _is_distinct(candidate: KnownMask, found: Sequence[KnownMask], min_uncovered: float) -> bool:
    free, area = candidate.mask.copy(), int(np.count_nonzero(candidate.mask))
    for known in found:
        if known.label in (None, candidate.label):
            free &= ~known.mask
        elif mask_iou(candidate.mask[None], known.mask[None])[0, 0] >= _DUPLICATE_IOU:
            return False
    return area > 0 and bool(np.count_nonzero(free) >= min_uncovered * area)
