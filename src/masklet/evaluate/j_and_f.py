"""How well does a mask fit the true one? J compares areas, F compares outlines, both as DAVIS defines them."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import PromptError

TOLERANCE_FRACTION = 0.008  # of the picture's diagonal: how far apart two outlines may be and still match (DAVIS)
_BLOCK = np.ones((2, 2), np.uint8)

Mask = NDArray[np.bool_]
Bytes = NDArray[np.uint8]


class JAndF(NamedTuple):
    """J and F of one object in one frame, each from 0 to 1."""

    j: float
    f: float


def compute_j_and_f(ground_truth: Mask, prediction: Mask, void: Mask | None = None) -> JAndF:
    """J and F of a mask (H, W) against the true one; pixels of `void` belong to neither.

    Raises `PromptError` (`mask-shape`) if the sizes differ.
    """
    if void is not None:
        ground_truth, prediction = ground_truth & ~void, prediction & ~void
    return JAndF(
        compute_region_similarity(ground_truth, prediction), compute_contour_accuracy(ground_truth, prediction)
    )


def compute_region_similarity(ground_truth: Mask, prediction: Mask) -> float:
    """J, the intersection over union of two masks (H, W); 1 if both are empty."""
    one, two = _check_and_convert(ground_truth, prediction)
    shared = cv2.countNonZero(cv2.bitwise_and(one, two))
    union = cv2.countNonZero(one) + cv2.countNonZero(two) - shared
    return shared / union if union else 1.0


def compute_contour_accuracy(ground_truth: Mask, prediction: Mask) -> float:
    """F, the harmonic mean of precision and recall of the outline, with a tolerance that grows with the picture.

    Precision is the share of the answer's outline that lies near the true one, recall the share of the true outline
    that lies near the answer's; without any outline on one side the share of nothing is 1, of something 0.
    """
    true, found = (_extract_contour(mask) for mask in _crop_to_both(*_check_and_convert(ground_truth, prediction)))
    reach = compute_tolerance_px(ground_truth.shape)
    precision, recall = _fraction_near(found, true, reach), _fraction_near(true, found, reach)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def extract_contour(mask: Mask) -> Mask:
    """The boundary pixels of a mask (H, W): those that differ from their right, lower or lower right neighbour.

    In the last row and the last column only the neighbours that exist count.
    """
    return _extract_contour(_to_bytes(mask)).view(bool)


def compute_tolerance_px(size: tuple[int, ...]) -> int:
    """The tolerance of F in pixels for pictures of `size` (H, W): 8 at 480 × 854, 18 at 1080 × 1920."""
    return math.ceil(TOLERANCE_FRACTION * math.hypot(*size))


def _extract_contour(mask: Bytes) -> Bytes:
    """1 where the 2 × 2 block to the right and below is not of one value; what lies outside the picture is ignored."""
    highest, lowest = (change(mask, _BLOCK, anchor=(0, 0)) for change in (cv2.dilate, cv2.erode))
    return np.asarray(cv2.subtract(highest, lowest))


def _crop_to_both(one: Bytes, two: Bytes) -> tuple[Bytes, Bytes]:
    """Both masks in the smallest window that holds their outlines, one pixel wider: most objects are small."""
    left, top, width, height = cv2.boundingRect(cv2.bitwise_or(one, two))
    window = slice(max(top - 1, 0), top + height + 1), slice(max(left - 1, 0), left + width + 1)
    return np.ascontiguousarray(one[window]), np.ascontiguousarray(two[window])


def _fraction_near(points: Bytes, others: Bytes, reach: int) -> float:
    """The share of `points` with one of `others` within `reach`; a share of nothing is 1.

    A disk is slow to dilate with, a square is not: what lies in the square within the disk is near, what lies outside
    the square around it is not, and only the few points between are measured.
    """
    total = cv2.countNonZero(points)
    if not total or not cv2.countNonZero(others):
        return float(not total)
    surely = cv2.bitwise_and(points, _dilate_by_square(others, math.isqrt(reach * reach // 2)))
    perhaps = np.asarray(cv2.subtract(cv2.bitwise_and(points, _dilate_by_square(others, reach)), surely), np.uint8)
    return (cv2.countNonZero(surely) + _count_near(perhaps, others, reach)) / total


def _dilate_by_square(points: Bytes, reach: int) -> Bytes:
    side = 2 * reach + 1
    return np.asarray(cv2.dilate(points, np.ones((side, side), np.uint8)))


def _count_near(points: Bytes, others: Bytes, reach: int) -> int:
    """How many `points` have one of `others` within `reach`, by distance.

    The others are sorted row by row, so the first one that can count in each row near a point is found by bisection.
    """
    width = points.shape[1]
    stride = width + 2 * reach  # a search that leaves its row at one end does not reach the next
    upwards = np.arange(-reach, reach + 1)
    sideways = np.array([math.isqrt(reach * reach - row * row) for row in upwards.tolist()])
    candidates = _pad_indices(others, width, stride)
    first = (_pad_indices(points, width, stride)[:, None] + upwards * stride) - sideways
    found = candidates.take(np.searchsorted(candidates, first), mode="clip")
    near = (first <= found) & (found <= first + 2 * sideways)
    return int(near.any(axis=1).sum())


def _pad_indices(points: Bytes, width: int, stride: int) -> NDArray[np.int64]:
    """The indices of the points if rows were `stride` pixels long, in order."""
    indices = np.flatnonzero(points.view(bool))
    return indices + indices // width * (stride - width)


def _check_and_convert(ground_truth: Mask, prediction: Mask) -> tuple[Bytes, Bytes]:
    if ground_truth.ndim != 2 or ground_truth.shape != prediction.shape:
        raise PromptError(
            "mask-shape",
            f"masks to compare must be of one size (H, W), got {ground_truth.shape} and {prediction.shape}",
        )
    return _to_bytes(ground_truth), _to_bytes(prediction)


def _to_bytes(mask: Mask) -> Bytes:
    return np.ascontiguousarray(mask, dtype=bool).view(np.uint8)
