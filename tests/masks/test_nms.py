"""Overlaps are exact, and suppression keeps the best."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from masklet.masks.nms import box_iou, box_nms, mask_iou

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


def test_empty_boxes_overlap_nothing():
    nothing = np.zeros((1, 4), np.float32)
    assert box_iou(nothing, nothing).tolist() == [[0]]


def test_a_better_box_removes_what_it_overlaps():
    boxes = np.array([(0, 0, 10, 10), (0, 0, 10, 9), (20, 0, 30, 10)], np.float32)
    assert box_nms(boxes, np.array([0.5, 0.9, 0.7]), 0.7).tolist() == [1, 2]


def test_a_removed_box_removes_nothing():
    boxes = np.array([(0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10)], np.float32)
    assert box_nms(boxes, np.array([0.9, 0.8, 0.7]), 0.3).tolist() == [0, 2]


@pytest.mark.parametrize(("threshold", "left"), [(0.5, [0, 1]), (0.49, [0])])
def test_an_overlap_of_exactly_the_threshold_stays(threshold: float, left: list[int]):
    boxes = np.array([(0, 0, 2, 2), (0, 0, 2, 1)], np.float32)
    assert box_nms(boxes, np.array([0.9, 0.8]), threshold).tolist() == left


def test_equal_scores_keep_their_order():
    boxes = np.array([(0, 0, 4, 4), (10, 0, 14, 4), (0, 0, 4, 4)], np.float32)
    assert box_nms(boxes, np.ones(3, np.float32), 0.5).tolist() == [0, 1]


def test_no_boxes_are_left_of_none():
    assert box_nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.5).tolist() == []


def test_no_box_that_is_left_overlaps_a_better_one():
    rng = np.random.default_rng(4)
    corners = rng.uniform(0, 50, (200, 2))
    boxes, scores = np.concatenate([corners, corners + rng.uniform(5, 30, (200, 2))], axis=1), rng.random(200)
    left = box_nms(boxes, scores, 0.4)
    iou = box_iou(boxes[left], boxes)
    assert (np.diff(scores[left]) <= 0).all()
    assert (np.triu(iou[:, left], 1) <= 0.4).all()
    removed = np.setdiff1d(np.arange(200), left)
    assert ((iou[:, removed] > 0.4) & (scores[left][:, None] >= scores[removed])).any(axis=0).all()
