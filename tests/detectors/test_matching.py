"""Matching of detections with known objects, and masks that are objects of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from masklet.detectors.detections import Detections
from masklet.detectors.matching import list_known, match_detections, select_distinct
from masklet.masks.masks import Masks
from support.gray_world import SIZE, Box


def make_masks(boxes: Sequence[Box], labels: Sequence[str | None], first_id: int = 1) -> Masks:
    """Make masks of boxes."""
    if not boxes:
        return Masks.empty(SIZE)
    binary = np.zeros((len(boxes), *SIZE), bool)
    for mask, (x0, y0, x1, y1) in zip(binary, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return Masks.from_binary(binary, labels=labels, object_ids=range(first_id, first_id + len(boxes)))


def select(candidates: Masks, objects: Masks) -> list[int]:
    """Select the masks of which at least half is free."""
    return select_distinct(candidates, list_known(objects), 0.5)


def detect(*boxes: Box, labels: str) -> Detections:
    return Detections(np.array(boxes), [*labels])


def test_a_detection_is_the_object_of_its_class_with_the_highest_iou() -> None:
    objects = make_masks([(0, 0, 10, 10), (20, 0, 30, 10)], ["a", "b"], first_id=7)
    found = detect((21, 0, 31, 10), (1, 1, 11, 11), (40, 20, 50, 30), labels="baa")
    assert match_detections(found, objects) == ({8: 0, 7: 1}, [2])


@pytest.mark.parametrize(
    ("box", "label", "is_known"),
    [
        ((0, 0, 10, 4), "a", True),  # IoU 0.4, as of an object that is partly hidden
        ((0, 0, 10, 2), "a", False),  # 0.2
        ((0, 0, 10, 9), "b", True),  # 0.9: the detector changes its mind about the class
        ((0, 0, 10, 7), "b", False),  # 0.7: a hat on a head
        ((20, 20, 30, 30), "a", False),
    ],
)
def test_other_classes_need_a_higher_iou(box: Box, label: str, is_known: bool) -> None:
    objects = make_masks([(0, 0, 10, 10)], ["a"])
    assert match_detections(detect(box, labels=label), objects).new == ([] if is_known else [0])


def test_each_object_matches_one_detection() -> None:
    objects = make_masks([(0, 0, 10, 10)], ["a"])
    assert match_detections(detect((4, 0, 14, 10), (0, 0, 10, 10), labels="aa"), objects) == ({1: 1}, [0])


def test_an_object_without_a_label_matches_every_class_and_a_hidden_one_nothing() -> None:
    objects = make_masks([(0, 0, 10, 10), (0, 0, 0, 0)], [None, "a"])
    assert match_detections(detect((0, 0, 10, 6), labels="b"), objects) == ({1: 0}, [])
    assert match_detections(detect((0, 0, 1, 1), labels="a"), objects[[1]]) == ({}, [0])
    assert match_detections(detect((0, 0, 1, 1), labels="a"), Masks.empty(SIZE)) == ({}, [0])
    assert match_detections(Detections([], []), objects) == ({}, [])


def test_a_mask_must_be_free_of_objects_of_its_class() -> None:
    objects = make_masks([(0, 0, 10, 10)], ["person"])
    head = make_masks([(2, 2, 8, 6)], ["head"])
    assert select(head, objects) == [0]
    assert select(make_masks([(2, 2, 8, 6)], ["person"]), objects) == []
    assert select(make_masks([(2, 2, 8, 6)], [None]), objects) == [0]  # it has no class to compare
    assert select(head, make_masks([(0, 0, 10, 10)], [None])) == []


def test_a_mask_of_another_class_must_be_another_mask() -> None:
    objects = make_masks([(0, 0, 10, 10)], ["cat"])
    assert select(make_masks([(0, 0, 10, 9), (0, 0, 10, 6)], ["dog", "dog"]), objects) == [1]


def test_of_several_new_masks_the_first_counts() -> None:
    new = make_masks([(0, 0, 10, 10), (0, 0, 10, 12), (30, 0, 40, 10), (50, 0, 50, 0)], ["a"] * 4)
    assert select(new, Masks.empty(SIZE)) == [0, 2]
    assert select(Masks.empty(SIZE), new) == []
