"""The connected pieces of a mask: fill small holes, drop small islands, keep the piece that was meant."""

from __future__ import annotations

from itertools import compress
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

CLEAR = 10.0  # the logit of a pixel that cleaning decides about (reference-model §2.3)
_OUTLINES_PER_MEGAPIXEL = 512  # up to so many, looking at each piece alone is faster than labelling all pixels


def clean_logits(logits: NDArray[Any], holes: float = 0, islands: float = 0, fill: float = CLEAR) -> NDArray[Any]:
    """New logits (h, w) of one mask, whose small holes are `fill` and whose small islands are −10.

    A hole is a piece of background (logits ≤ 0), an island a piece of the mask (> 0); a piece is 8-connected and
    small if it has at most `holes` or `islands` pixels of these logits; 0 leaves all. Both are found in the given
    logits, islands are written last (reference-model §2.3).
    """
    cleaned: NDArray[Any] = logits.copy()
    foreground = logits > 0
    if holes > 0:
        _write(cleaned, ~foreground, holes, fill)
    if islands > 0:
        _write(cleaned, foreground, islands, -CLEAR)
    return cleaned


def keep_clicked(logits: NDArray[Any], points: NDArray[Any]) -> NDArray[Any]:
    """New logits (h, w) of which only the pieces that hold one of `points` are left, the others are −10.

    `points` (P, 2) are xy in pixels of these logits. If none lies on a piece, the one nearest to the first is kept.
    """
    labels = _labels(logits > 0)
    limit = np.array(labels.shape[::-1]) - 1
    columns, rows = np.clip(np.floor(points).astype(np.int64), 0, limit).T
    clicked = np.setdiff1d(labels[rows, columns], [0])
    return _only(logits, labels, clicked if len(clicked) else _nearest(labels, points[0]))


def keep_largest(logits: NDArray[Any]) -> NDArray[Any]:
    """New logits (h, w) of which only the largest piece is left, the first of equals; the others are −10."""
    labels = _labels(logits > 0)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    return _only(logits, labels, areas.argmax())


def _write(cleaned: NDArray[Any], pixels: NDArray[np.bool_], area: float, value: float) -> None:
    """Writes `value` where `pixels` have pieces of at most `area` pixels."""
    outlines, tree = cv2.findContours(pixels.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if len(outlines) > _OUTLINES_PER_MEGAPIXEL * pixels.size / 2**20:
        np.copyto(cleaned, value, where=_labelled_small(pixels, area))
    elif outlines:
        for outline in compress(outlines, tree[0, :, 3] < 0):  # the others are outlines of the holes in a piece
            left, top, width, height = cv2.boundingRect(outline)
            if width <= area and height <= area:
                window = slice(top, top + height), slice(left, left + width)
                piece = _piece(pixels[window], outline[0, 0] - (left, top))
                if np.count_nonzero(piece) <= area:
                    np.copyto(cleaned[window], value, where=piece)


def _labelled_small(pixels: NDArray[np.bool_], area: float) -> NDArray[np.bool_]:
    """Which pixels belong to a piece of at most `area` pixels."""
    labels = _labels(pixels)
    small = np.bincount(labels.ravel()) <= area
    small[0] = False
    return np.asarray(small.take(labels))


def _piece(window: NDArray[np.bool_], start: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which pixels of its box belong to the piece with the pixel `start` (x, y)."""
    if min(window.shape) <= 2:  # too narrow for two pieces that are not connected
        return window
    canvas = window.astype(np.uint8, order="C")  # or it would be filled in a copy
    cv2.floodFill(canvas, None, (int(start[0]), int(start[1])), 2, flags=8)
    return np.asarray(canvas == 2)


def _labels(pixels: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The number of each pixel's piece, 0 where there is none."""
    return np.asarray(cv2.connectedComponents(pixels.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)[1])


def _only(logits: NDArray[Any], labels: NDArray[np.int32], kept: ArrayLike) -> NDArray[Any]:
    kept_logits: NDArray[Any] = logits.copy()
    kept_logits[(labels > 0) & ~np.isin(labels, kept)] = -CLEAR
    return kept_logits


def _nearest(labels: NDArray[np.int32], point: NDArray[Any]) -> NDArray[np.int32]:
    """The label of the piece whose pixel centres come nearest to `point`; none if there is no piece."""
    rows, columns = np.nonzero(labels)
    if not len(rows):
        return labels[:0, 0]
    distances = (columns + 0.5 - point[0]) ** 2 + (rows + 0.5 - point[1]) ** 2
    nearest = distances.argmin()
    return np.array([labels[rows[nearest], columns[nearest]]])
