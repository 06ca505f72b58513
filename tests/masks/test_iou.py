"""IoU of masks and boxes is exact."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from masklet.masks.iou import box_iou, mask_iou

STACKS = st.tuples(
    arrays.arrays(bool, st.tuples(st.integers(0, 4), st.just(7), st.just(9))),
    arrays.arrays(bool, st.tuples(st.integers(0, 4), st.just(7), st.just(9))),
)


@given(STACKS)
def test_mask_iou_is_intersection_over_union(stacks: tuple[NDArray[np.bool_], NDArray[np.bool_]]):
    first, second = stacks
    shared = (first[:, None] & second).sum(axis=(2, 3))
    union = (first[:, None] | second).sum(axis=(2, 3))
    assert mask_iou(first, second).tolist() == np.where(union, shared / np.maximum(union, 1), 0).tolist()


def test_box_iou_counts_areas_between_edges():
    one = np.array([(0, 0, 2, 2)], np.float32)
    others = np.array([(0, 0, 2, 2), (1, 0, 3, 2), (2, 0, 4, 2), (0, 0, 0, 0)], np.float32)
    assert box_iou(one, others).tolist() == [[1, 1 / 3, 0, 0]]


def test_empty_boxes_have_no_overlap():
    empty = np.zeros((1, 4), np.float32)
    assert box_iou(empty, empty).tolist() == [[0]]
