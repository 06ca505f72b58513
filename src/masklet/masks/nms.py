"""How much masks and boxes overlap, and what is left when they should not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

BEATEN = -10.0  # the largest logit that a mask keeps where another one wins (reference-model §2.3)


def mask_iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Intersection over union of masks (N, H, W) with masks (M, H, W), as (N, M); 0 where both are empty."""
    one, two = first.view(np.uint8), second.view(np.uint8)
    shared = np.zeros((len(one), len(two)))
    boxes = extents(first)[:, None], extents(second)[None]
    starts, stops = np.maximum(*boxes)[..., :2], np.minimum(*boxes)[..., 2:]
    for n, m in np.argwhere((starts < stops).all(axis=-1)):  # only where their boxes meet, and only there
        (x0, y0), (x1, y1) = starts[n, m], stops[n, m]
        shared[n, m] = cv2.countNonZero(cv2.bitwise_and(one[n, y0:y1, x0:x1], two[m, y0:y1, x0:x1]))
    areas = [np.array([cv2.countNonZero(mask) for mask in masks], np.float64) for masks in (one, two)]
    return _ratio(shared, areas[0][:, None] + areas[1] - shared)


def box_iou(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union of boxes (N, 4) with boxes (M, 4), xyxy, as (N, M); 0 where both are empty."""
    one, two = first.astype(np.float64), second.astype(np.float64)
    starts = np.maximum(one[:, None, :2], two[:, :2])
    stops = np.minimum(one[:, None, 2:], two[:, 2:])
    shared = np.maximum(stops - starts, 0).prod(axis=-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) for boxes in (one, two)]
    return _ratio(shared, areas[0][:, None] + areas[1] - shared)


def box_nms(boxes: NDArray[Any], scores: NDArray[Any], threshold: float) -> NDArray[np.int64]:
    """Indices of the boxes (N, 4) xyxy that are left, best score first (reference-model §8.2).

    From the best to the worst, each box that is left removes those it overlaps with an IoU above `threshold`;
    equal scores keep their order.
    """
    return suppress(scores, threshold, lambda index, rest: box_iou(boxes[index : index + 1], boxes[rest])[0])


def suppress(
    scores: NDArray[Any], threshold: float, overlaps: Callable[[int, NDArray[np.int64]], NDArray[np.float64]]
) -> NDArray[np.int64]:
    """Greedy suppression as in `box_nms`; `overlaps(index, rest)` gives the IoU of one with each of the rest."""
    waiting = np.argsort(-scores, kind="stable")
    left: list[int] = []
    while len(waiting):
        best, waiting = int(waiting[0]), waiting[1:]
        left.append(best)
        waiting = waiting[overlaps(best, waiting) <= threshold]
    return np.array(left, np.int64)


def separate(logits: NDArray[Any]) -> NDArray[Any]:
    """New logits (N, H, W) that are positive for at most one mask per pixel: the highest, the first of equals.

    The others are at most −10 there (reference-model §2.3).
    """
    separated = logits.copy()
    highest = logits[0].copy()
    winner = np.zeros(highest.shape, np.int32)
    for position, one in enumerate(logits[1:], start=1):
        np.copyto(winner, position, where=one > highest)
        np.maximum(highest, one, out=highest)
    for position, one in enumerate(separated):
        np.copyto(one, np.minimum(one, BEATEN), where=winner != position)
    return np.asarray(separated)


def extents(masks: Iterable[NDArray[np.bool_]]) -> NDArray[np.int64]:
    """The boxes (N, 4) xyxy of masks (H, W), at the pixels' edges; zeros for an empty mask."""
    boxes = np.array([cv2.boundingRect(mask.view(np.uint8)) for mask in masks], np.int64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _ratio(shared: NDArray[np.float64], union: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
