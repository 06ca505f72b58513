"""IoU of masks and of boxes, and the bounding boxes of masks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def mask_iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute the IoU of each mask of `first` with each mask of `second`.

    Args:
        first: Masks (N, H, W).
        second: Masks (M, H, W).

    Returns:
        Intersection over union, (N, M), and 0 for two empty masks.
    """
    pixels1, pixels2 = first.view(np.uint8), second.view(np.uint8)
    shared = np.zeros((len(pixels1), len(pixels2)))
    boxes = masks_to_boxes(first)[:, None], masks_to_boxes(second)[None]
    starts, stops = np.maximum(*boxes)[..., :2], np.minimum(*boxes)[..., 2:]
    for n, m in np.argwhere((starts < stops).all(axis=-1)):  # pixels are counted only where two boxes overlap
        (x0, y0), (x1, y1) = starts[n, m], stops[n, m]
        shared[n, m] = cv2.countNonZero(cv2.bitwise_and(pixels1[n, y0:y1, x0:x1], pixels2[m, y0:y1, x0:x1]))
    areas = [np.array([cv2.countNonZero(mask) for mask in masks], np.float64) for masks in (pixels1, pixels2)]
    return _divide(shared, areas[0][:, None] + areas[1] - shared)


def box_iou(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the IoU of each box of `first` with each box of `second`.

    Args:
        first: Boxes (N, 4) xyxy.
        second: Boxes (M, 4) xyxy.

    Returns:
        Intersection over union, (N, M), and 0 for two empty boxes.
    """
    boxes1, boxes2 = first.astype(np.float64), second.astype(np.float64)
    starts = np.maximum(boxes1[:, None, :2], boxes2[:, :2])
    stops = np.minimum(boxes1[:, None, 2:], boxes2[:, 2:])
    shared = np.maximum(stops - starts, 0).prod(axis=-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) for boxes in (boxes1, boxes2)]
    return _divide(shared, areas[0][:, None] + areas[1] - shared)


def masks_to_boxes(masks: Iterable[NDArray[np.bool_]]) -> NDArray[np.int64]:
    """Compute the bounding boxes of masks.

    Args:
        masks: N masks (H, W).

    Returns:
        Boxes (N, 4) xyxy at the edges of pixels, so that x1 − x0 is the width in pixels. Zeros for an empty mask.
    """
    boxes = np.array([cv2.boundingRect(mask.view(np.uint8)) for mask in masks], np.int64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _divide(shared: NDArray[np.float64], union: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
