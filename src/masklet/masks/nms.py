"""NMS (non-maximum suppression) of boxes, and of anything with an IoU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.masks.iou import box_iou


def box_nms(boxes: NDArray[Any], scores: NDArray[Any], threshold: float) -> NDArray[np.int64]:
    """Remove the boxes that overlap a box with a higher score (reference-model §8.2).

    Args:
        boxes: Boxes (N, 4) xyxy.
        scores: Scores (N,). Equal scores keep their order.
        threshold: The largest IoU of a box with a better one that remains.

    Returns:
        Indices of the remaining boxes, best score first. A removed box removes no others.
    """
    return suppress_overlaps(scores, threshold, lambda index, rest: box_iou(boxes[index : index + 1], boxes[rest])[0])


def suppress_overlaps(
    scores: NDArray[Any], threshold: float, compute_iou: Callable[[int, NDArray[np.int64]], NDArray[np.float64]]
) -> NDArray[np.int64]:
    """Apply greedy NMS as in `box_nms`, with any IoU.

    Args:
        scores: Scores (N,). Equal scores keep their order.
        threshold: The largest IoU with a better item that remains.
        compute_iou: `compute_iou(index, rest)` returns the IoU (R,) of item `index` with the R items `rest`.

    Returns:
        Indices of the remaining items, best score first.
    """
    candidates = np.argsort(-scores, kind="stable")
    remaining: list[int] = []
    while len(candidates):
        best, candidates = int(candidates[0]), candidates[1:]
        remaining.append(best)
        candidates = candidates[compute_iou(best, candidates) <= threshold]
    return np.array(remaining, np.int64)
