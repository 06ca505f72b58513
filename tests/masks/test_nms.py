"""NMS keeps the boxes with the best scores."""

from __future__ import annotations

import numpy as np
import pytest

from masklet.masks.iou import box_iou
from masklet.masks.nms import box_nms


def test_a_better_box_removes_boxes_that_overlap_it():
    boxes = np.array([(0, 0, 10, 10), (0, 0, 10, 9), (20, 0, 30, 10)], np.float32)
    assert box_nms(boxes, np.array([0.5, 0.9, 0.7]), 0.7).tolist() == [1, 2]


def test_a_removed_box_removes_no_others():
    boxes = np.array([(0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10)], np.float32)
    assert box_nms(boxes, np.array([0.9, 0.8, 0.7]), 0.3).tolist() == [0, 2]


@pytest.mark.parametrize(("threshold", "remaining"), [(0.5, [0, 1]), (0.49, [0])])
def test_a_box_with_an_iou_of_exactly_the_threshold_remains(threshold: float, remaining: list[int]):
    boxes = np.array([(0, 0, 2, 2), (0, 0, 2, 1)], np.float32)
    assert box_nms(boxes, np.array([0.9, 0.8]), threshold).tolist() == remaining


def test_equal_scores_keep_their_order():
    boxes = np.array([(0, 0, 4, 4), (10, 0, 14, 4), (0, 0, 4, 4)], np.float32)
    assert box_nms(boxes, np.ones(3, np.float32), 0.5).tolist() == [0, 1]


def test_no_boxes_remain_of_none():
    assert box_nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.5).tolist() == []


def test_no_remaining_box_overlaps_a_better_one():
    rng = np.random.default_rng(4)
    corners = rng.uniform(0, 50, (200, 2))
    boxes, scores = np.concatenate([corners, corners + rng.uniform(5, 30, (200, 2))], axis=1), rng.random(200)
    remaining = box_nms(boxes, scores, 0.4)
    iou = box_iou(boxes[remaining], boxes)
    assert (np.diff(scores[remaining]) <= 0).all()
    assert (np.triu(iou[:, remaining], 1) <= 0.4).all()
    removed = np.setdiff1d(np.arange(200), remaining)
    assert ((iou[:, removed] > 0.4) & (scores[remaining][:, None] >= scores[removed])).any(axis=0).all()
