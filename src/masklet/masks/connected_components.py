"""Connected components of a mask: fill small holes, remove small islands, keep the component that was clicked."""

from __future__ import annotations

from itertools import compress
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklet.config import CERTAIN_LOGIT

FILL_LOGIT = CERTAIN_LOGIT  # of filled holes; its negative is the logit of removed islands (reference-model §2.3)
_MAX_CONTOURS_PER_MEGAPIXEL = 512  # with more components, labeling all pixels costs less than examining each component


def fill_holes_and_remove_islands(
    logits: NDArray[Any], max_hole_area: float = 0, max_island_area: float = 0, fill_logit: float = FILL_LOGIT
) -> NDArray[Any]:
    """Fill small holes and remove small islands of one mask (reference-model §2.3).

    A hole is an 8-connected component of the background (logits ≤ 0), an island one of the mask (logits > 0). Both are
    found in the given logits.

    Args:
        logits: Logits (h, w).
        max_hole_area: The largest area of a hole that is filled, in pixels of these logits. 0 fills none.
        max_island_area: The largest area of an island that is removed, in the same pixels. 0 removes none.
        fill_logit: The logit of filled holes.

    Returns:
        New logits (h, w): `fill_logit` in filled holes, −10 in removed islands.
    """
    processed: NDArray[Any] = logits.copy()
    foreground = logits > 0
    if max_hole_area > 0:
        _overwrite_small(processed, ~foreground, max_hole_area, fill_logit)
    if max_island_area > 0:
        _overwrite_small(processed, foreground, max_island_area, -FILL_LOGIT)
    return processed


def keep_components_at(logits: NDArray[Any], points: NDArray[Any]) -> NDArray[Any]:
    """Keep the components of one mask that contain a point, or else the one nearest to the first point.

    Args:
        logits: Logits (h, w).
        points: Points (P, 2) xy in pixels of these logits, P ≥ 1.

    Returns:
        New logits (h, w), −10 in the other components.
    """
    labels = label_components(logits > 0)
    limit = np.array(labels.shape[::-1]) - 1
    columns, rows = np.clip(np.floor(points).astype(np.int64), 0, limit).T
    clicked = np.setdiff1d(labels[rows, columns], [0])
    return _keep(logits, labels, clicked if len(clicked) else _find_nearest(labels, points[0]))


def keep_largest_component(logits: NDArray[Any]) -> NDArray[Any]:
    """Keep the largest component of one mask (h, w), the first of equals; the others become −10 in new logits."""
    labels = label_components(logits > 0)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return _keep(logits, labels, areas.argmax())


def label_components(pixels: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the 8-connected components of a mask (H, W) from 1; the background is 0."""
    binary = np.ascontiguousarray(pixels).view(np.uint8)
    return np.asarray(cv2.connectedComponents(binary, connectivity=8, ltype=cv2.CV_32S)[1])


def _overwrite_small(processed: NDArray[Any], pixels: NDArray[np.bool_], area: float, value: float) -> None:
    """Write `value` where `pixels` have components of at most `area` pixels."""
    contours, hierarchy = cv2.findContours(pixels.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if len(contours) > _MAX_CONTOURS_PER_MEGAPIXEL * pixels.size / 2**20:
        np.copyto(processed, value, where=_find_small(pixels, area))
    elif contours:
        for contour in compress(contours, hierarchy[0, :, 3] < 0):  # the others are contours of holes in a component
            left, top, width, height = cv2.boundingRect(contour)
            if width <= area and height <= area:
                region = slice(top, top + height), slice(left, left + width)
                component = _flood_fill(pixels[region], contour[0, 0] - (left, top))
                if np.count_nonzero(component) <= area:
                    np.copyto(processed[region], value, where=component)


def _find_small(pixels: NDArray[np.bool_], area: float) -> NDArray[np.bool_]:
    """Return the pixels of components of at most `area` pixels."""
    labels = label_components(pixels)
    small = np.bincount(labels.ravel()) <= area
    small[0] = False
    return np.asarray(small.take(labels))


def _flood_fill(pixels: NDArray[np.bool_], start: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the component at the pixel `start` (x, y) of a mask that is cropped to the component's bounding box."""
    if min(pixels.shape) <= 2:  # too narrow for two components
        return pixels
    canvas = pixels.astype(np.uint8, order="C")  # floodFill would fill a copy of an array in another order
    cv2.floodFill(canvas, None, (int(start[0]), int(start[1])), 2, flags=8)
    return np.asarray(canvas == 2)


def _keep(logits: NDArray[Any], labels: NDArray[np.int32], selected: ArrayLike) -> NDArray[Any]:
    reduced: NDArray[Any] = logits.copy()
    reduced[(labels > 0) & ~np.isin(labels, selected)] = -FILL_LOGIT
    return reduced


def _find_nearest(labels: NDArray[np.int32], point: NDArray[Any]) -> NDArray[np.int32]:
    """Return the label (1,) of the component with the pixel center nearest to `point`, or (0,) of an empty mask."""
    rows, columns = np.nonzero(labels)
    if not len(rows):
        return labels[:0, 0]
    distances = (columns + 0.5 - point[0]) ** 2 + (rows + 0.5 - point[1]) ** 2
    nearest = distances.argmin()
    return np.array([labels[rows[nearest], columns[nearest]]])
