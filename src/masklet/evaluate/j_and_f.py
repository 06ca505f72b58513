"""J (region similarity, IoU) and F (contour accuracy) of masks, as DAVIS defines them."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import PromptError

TOLERANCE_FRACTION = 0.008  # distance at which contour pixels still match, as a fraction of the diagonal (DAVIS)
_BLOCK = np.ones((2, 2), np.uint8)

Mask = NDArray[np.bool_]
Bytes = NDArray[np.uint8]


class JAndF(NamedTuple):
    """J and F of one object in one frame, each from 0 to 1."""

    j: float
    f: float


def compute_j_and_f(ground_truth: Mask, prediction: Mask, void: Mask | None = None) -> JAndF:
    """Compute J and F of one predicted mask.

    Args:
        ground_truth: The mask of the object, (H, W) bool.
        prediction: The predicted mask, (H, W) bool.
        void: Pixels that are removed from both masks, (H, W) bool.

    Returns:
        J and F, each from 0 to 1.

    Raises:
        PromptError: The masks differ in size (`mask-shape`).
    """
    if void is not None:
        ground_truth, prediction = ground_truth & ~void, prediction & ~void
    return JAndF(
        compute_region_similarity(ground_truth, prediction), compute_contour_accuracy(ground_truth, prediction)
    )


def compute_region_similarity(ground_truth: Mask, prediction: Mask) -> float:
    """Compute J, the intersection over union of two masks.

    Args:
        ground_truth: The mask of the object, (H, W) bool.
        prediction: The predicted mask, (H, W) bool.

    Returns:
        J from 0 to 1; 1 if both masks are empty.

    Raises:
        PromptError: The masks differ in size (`mask-shape`).
    """
    first, second = _check_and_convert(ground_truth, prediction)
    shared = cv2.countNonZero(cv2.bitwise_and(first, second))
    union = cv2.countNonZero(first) + cv2.countNonZero(second) - shared
    return shared / union if union else 1.0


def compute_contour_accuracy(ground_truth: Mask, prediction: Mask) -> float:
    """Compute F, the harmonic mean of precision and recall of the contour.

    Precision is the fraction of the predicted contour within a tolerance of the ground-truth contour, recall the
    fraction of the ground-truth contour within the tolerance of the predicted one. Two masks without contour match
    (1); with a contour in only one of them F is 0.

    Args:
        ground_truth: The mask of the object, (H, W) bool.
        prediction: The predicted mask, (H, W) bool.

    Returns:
        F from 0 to 1.

    Raises:
        PromptError: The masks differ in size (`mask-shape`).
    """
    true, predicted = (_extract_contour(mask) for mask in _crop_to_both(*_check_and_convert(ground_truth, prediction)))
    radius = compute_tolerance_px(ground_truth.shape)
    precision, recall = _fraction_near(predicted, true, radius), _fraction_near(true, predicted, radius)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def extract_contour(mask: Mask) -> Mask:
    """Extract the contour of a mask: pixels that differ from their right, lower or lower right neighbor.

    Args:
        mask: The mask, (H, W) bool. Neighbors outside the image are ignored.

    Returns:
        The contour pixels, (H, W) bool.
    """
    return _extract_contour(_to_bytes(mask)).view(bool)


def compute_tolerance_px(size: tuple[int, ...]) -> int:
    """Compute the tolerance of F in pixels for images of `size` (H, W): 8 at 480 × 854, 18 at 1080 × 1920."""
    return math.ceil(TOLERANCE_FRACTION * math.hypot(*size))


def _extract_contour(mask: Bytes) -> Bytes:
    """Mark the pixels whose 2 × 2 block to the lower right has two values; pixels outside the image are ignored."""
    highest, lowest = (change(mask, _BLOCK, anchor=(0, 0)) for change in (cv2.dilate, cv2.erode))
    return np.asarray(cv2.subtract(highest, lowest))


def _crop_to_both(first: Bytes, second: Bytes) -> tuple[Bytes, Bytes]:
    """Crop both masks to their common bounding box, padded by one pixel, since most objects are small."""
    left, top, width, height = cv2.boundingRect(cv2.bitwise_or(first, second))
    crop = slice(max(top - 1, 0), top + height + 1), slice(max(left - 1, 0), left + width + 1)
    return np.ascontiguousarray(first[crop]), np.ascontiguousarray(second[crop])


def _fraction_near(points: Bytes, others: Bytes, radius: int) -> float:
    """Compute the fraction of `points` with one of `others` within `radius` pixels; 1 if `points` is empty.

    Dilation by a square is faster than by a disk. Points inside the square within the disk are near, points outside
    the square around the disk are not, and only the few points between the squares are measured.
    """
    total = cv2.countNonZero(points)
    if not total or not cv2.countNonZero(others):
        return float(not total)
    near = cv2.bitwise_and(points, _dilate_by_square(others, math.isqrt(radius * radius // 2)))
    between = np.asarray(cv2.subtract(cv2.bitwise_and(points, _dilate_by_square(others, radius)), near), np.uint8)
    return (cv2.countNonZero(near) + _count_near(between, others, radius)) / total


def _dilate_by_square(points: Bytes, radius: int) -> Bytes:
    side = 2 * radius + 1
    return np.asarray(cv2.dilate(points, np.ones((side, side), np.uint8)))


def _count_near(points: Bytes, others: Bytes, radius: int) -> int:
    """Count the `points` with one of `others` within a Euclidean distance of `radius` pixels.

    The others are sorted row by row, so in each row near a point the first candidate is found by bisection.
    """
    width = points.shape[1]
    stride = width + 2 * radius  # a search that leaves its row at one end does not reach the next
    upwards = np.arange(-radius, radius + 1)
    sideways = np.array([math.isqrt(radius * radius - row * row) for row in upwards.tolist()])
    candidates = _pad_indices(others, width, stride)
    first = (_pad_indices(points, width, stride)[:, None] + upwards * stride) - sideways
    next_candidate = candidates.take(np.searchsorted(candidates, first), mode="clip")
    near = (first <= next_candidate) & (next_candidate <= first + 2 * sideways)
    return int(near.any(axis=1).sum())


def _pad_indices(points: Bytes, width: int, stride: int) -> NDArray[np.int64]:
    """Return the flat indices of the points in an image with rows of `stride` pixels, in ascending order."""
    indices = np.flatnonzero(points.view(bool))
    return indices + indices // width * (stride - width)


def _check_and_convert(ground_truth: Mask, prediction: Mask) -> tuple[Bytes, Bytes]:
    if ground_truth.ndim != 2 or ground_truth.shape != prediction.shape:
        raise PromptError(
            "mask-shape",
            f"masks to compare must have the same size (H, W), got {ground_truth.shape} and {prediction.shape}",
        )
    return _to_bytes(ground_truth), _to_bytes(prediction)


def _to_bytes(mask: Mask) -> Bytes:
    return np.ascontiguousarray(mask, dtype=bool).view(np.uint8)
