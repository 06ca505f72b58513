"""Which pixels does a polygon cover? The rule of COCO, so that areas and overlaps equal those of its own tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError

_FINER = 5  # COCO walks along the outline in steps of a fifth of a pixel
_LARGEST = 2**20  # pixels; a coordinate beyond is no coordinate


def polygon_mask(polygons: Sequence[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask (H, W) that one or more polygons cover together.

    A polygon is (P, 2) or flat [x0, y0, x1, y1, …] in pixels, at least three points, closed by itself; what lies
    outside the picture is cut off. Raises `FormatError` for anything else.
    """
    mask = np.zeros(size, bool)
    for polygon in polygons:
        mask |= _covered(_points(polygon), size)
    return mask


def _covered(points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels below an odd number of crossings of the outline with their column's middle."""
    height, width = size
    columns, rows = _crossings(points, size)
    counts = np.bincount(columns * height + rows, minlength=height * width + 1)[:-1]
    inside = np.cumsum(counts) & 1  # a crossing at the bottom is one at the top of the next column, as in COCO's runs
    return np.ascontiguousarray(inside.reshape(width, height).T.astype(bool))


def _crossings(points: NDArray[np.float64], size: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the outline passes from one column of pixels to the next: the column, and the first row below."""
    height, width = size
    x, y = _walked(np.trunc(_FINER * points + 0.5).astype(np.int64))
    turns = np.flatnonzero(np.diff(x)) + 1
    across = np.where(x[turns] < x[turns - 1], x[turns], x[turns] - 1)
    column = (across + 0.5) / _FINER - 0.5
    row = np.ceil(np.clip((np.minimum(y[turns], y[turns - 1]) + 0.5) / _FINER - 0.5, 0, height))
    seen = (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    return column[seen].astype(np.int64), row[seen].astype(np.int64)


def _walked(corners: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every point (x, y) of the fine grid along the closed outline, edge by edge, in the order of the walk."""
    starts, stops = corners, np.roll(corners, -1, axis=0)
    edges = [_edge(start, stop) for start, stop in zip(starts, stops, strict=True)]
    x, y = np.concatenate(edges).T
    return x, y


def _edge(start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.int64]:
    """The grid points (L, 2) from start to stop: one per step along the longer side, the other side rounded up."""
    extent = np.abs(stop - start)
    along = 0 if extent[0] >= extent[1] else 1
    length = int(extent[along])
    backwards = start[along] > stop[along]
    low, high = (stop, start) if backwards else (start, stop)
    steps = np.arange(length + 1)
    points = np.empty((length + 1, 2), np.int64)
    slope = (high[1 - along] - low[1 - along]) / length if length else 0.0
    points[:, along] = low[along] + steps
    points[:, 1 - along] = np.trunc(low[1 - along] + slope * steps + 0.5).astype(np.int64)
    return points[::-1] if backwards else points


def _points(polygon: Any) -> NDArray[np.float64]:
    try:
        points = np.asarray(polygon, np.float64)
        points = points.reshape(-1, 2)
    except (TypeError, ValueError) as cause:
        raise _bad("a polygon must be a list of x, y pairs of numbers") from cause
    if len(points) < 3 or not (np.abs(points) < _LARGEST).all():  # not-a-number is not below either
        raise _bad(f"a polygon needs at least 3 points with finite coordinates, got {len(points)} points")
    return points


def _bad(message: str) -> FormatError:
    return FormatError("dataset-broken", message)
