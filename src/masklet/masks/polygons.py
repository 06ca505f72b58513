"""Polygons of masks: rasterization by the rule of COCO, and tracing of outlines.

Coordinates are pixels, (x, y), with integers at the corners of pixels: (0, 0) is the top left corner of the image and
(W, H) its bottom right corner. The square from (0, 0) to (10, 10) has 100 pixels, as in pycocotools. A mask's outline
runs between its pixels and the others, so that rasterization gives the mask back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.masks.rle import MAX_PIXELS

MIN_IOU = 0.995  # of a simplified outline with the mask that it was traced from
_TOLERANCES_PX = (1.0, 0.5)  # distance of a simplified outline, tried in this order before every vertex is kept
_MAX_COORDINATE_PX = 2**20
_SUBPIXELS = 5  # COCO traces an outline in steps of a fifth of a pixel
_LEFT = 2  # an outline crosses the middle of a column between its subpixels 2 and 3
_RECTANGLE = 4  # vertices
MAX_POLYGONS = 50_000  # of one mask
MAX_CROSSINGS = 2**23  # of the outlines of one mask with the middles of columns, which takes about a second
_BLOCK = 2**18  # crossings of edges with the middles of columns that are processed at once

Mask = NDArray[np.bool_]
Loop = NDArray[np.float64]  # (P, 2) xy; the last vertex is joined to the first
Integers = NDArray[np.int64]


class _Box(NamedTuple):
    """A part of an image, in pixels."""

    left: int
    top: int
    width: int
    height: int


def rasterize(polygons: Iterable[Any], size: tuple[int, int]) -> Mask:
    """Compute the union of polygons by the rule of pycocotools.

    A pixel belongs to a polygon if a line from its center to the top crosses the outline an odd number of times. Time
    and memory depend on the number of vertices and on the image, not on the length of the outlines.

    Args:
        polygons: Polygons of at least three vertices, each (P, 2) or flat [x0, y0, x1, y1, …]. Parts outside the image
            are cut off.
        size: The image's (H, W).

    Returns:
        The mask (H, W).

    Raises:
        FormatError: A polygon has too few vertices or a coordinate that is not finite, the image is too large, there
            are more than `MAX_POLYGONS`, or they cross more than `MAX_CROSSINGS` columns.
    """
    height, width = size
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise FormatError("annotation-broken", f"an image of {height} × {width} pixels cannot have masks")
    polygons = [*islice(polygons, MAX_POLYGONS + 1)]
    if len(polygons) > MAX_POLYGONS:
        raise _error(f"a mask may have {MAX_POLYGONS} polygons, got more; write it as RLE")
    return _fill([read_vertices(polygon) for polygon in polygons], _Box(0, 0, width, height), MAX_CROSSINGS)


def read_vertices(polygon: Any) -> NDArray[np.float64]:
    """Return the vertices (P, 2) xy of a polygon as `rasterize` takes it. Raises `FormatError`."""
    try:
        vertices = np.asarray(polygon, np.float64)
        vertices = vertices if vertices.ndim == 2 else vertices.reshape(-1, 2)
    except (TypeError, ValueError, OverflowError) as cause:
        raise _error("a polygon must be a list of x, y pairs of numbers") from cause
    if vertices.shape[1] != 2 or len(vertices) < 3:
        raise _error(f"a polygon needs at least 3 points (x, y), got an array of shape {vertices.shape}")
    if not (np.abs(vertices) < _MAX_COORDINATE_PX).all():  # false for NaN
        raise _error(f"a polygon needs finite coordinates below {_MAX_COORDINATE_PX} pixels")
    return vertices


def trace_mask(mask: Mask) -> Loop:
    """Trace a mask as one polygon.

    Components and holes are joined by lines that the outline follows in both directions; such lines enclose nothing.

    Args:
        mask: A mask (H, W).

    Returns:
        The polygon (P, 2) xy, (0, 2) for an empty mask.
    """
    return _join([loop for piece in trace_rings(mask) for loop in piece])


def trace_pieces(mask: Mask, tolerance: float | None = None) -> list[Loop]:
    """Trace a mask as one polygon for each 8-connected component, joined with the component's holes.

    Args:
        mask: A mask (H, W).
        tolerance: Greatest distance of a simplified outline in pixels, less for components and holes that are smaller;
            0 for the outline along the pixels. By default outlines are simplified as far as `MIN_IOU` allows.

    Returns:
        Polygons (P, 2) xy, none for an empty mask.
    """
    return [_join(piece) for piece in trace_rings(mask, tolerance)]


def trace_rings(mask: Mask, tolerance: float | None = None) -> list[list[Loop]]:
    """Trace a mask as rings: for each 8-connected component its outline, followed by those of its holes.

    Args:
        mask: A mask (H, W).
        tolerance: See `trace_pieces`.

    Returns:
        Rings (P, 2) xy by component, none for an empty mask. The last vertex of a ring is joined to the first.
    """
    mask = np.ascontiguousarray(mask, bool)
    box = _Box(*cv2.boundingRect(mask.view(np.uint8)))
    if not box.width:
        return []
    part = mask[box.top : box.top + box.height, box.left : box.left + box.width]
    corner = np.array([box.left, box.top])
    exact = [[loop + corner for loop in piece] for piece in _trace(part)]
    if tolerance == 0:
        return exact
    smooth = [[_smooth(loop) for loop in piece] for piece in exact]
    if tolerance is not None:
        return [[_simplify_within(loop, tolerance) for loop in piece] for piece in smooth]
    for tried in _TOLERANCES_PX:
        simple = [[_simplify(loop, tried) for loop in piece] for piece in smooth]
        if _match(simple, part, box):
            return simple
    return exact


class _Edges(NamedTuple):
    """E edges of polygons on the grid of subpixels.

    Attributes:
        owner: Number of the polygon.
        first: The first column of pixels whose middle the edge crosses.
        last: The last such column.
        x: Column of subpixels of the top end if the edge is steep, else of the left end.
        y: Row of subpixels of the same end.
        slope: Change of the other coordinate with each subpixel.
        steep: Whether the edge has one subpixel in every row; otherwise it has one in every column.
    """

    owner: Integers
    first: Integers
    last: Integers
    x: Integers
    y: Integers
    slope: NDArray[np.float64]
    steep: NDArray[np.bool_]

    def select(self, which: NDArray[Any]) -> _Edges:
        return _Edges(*(part[which] for part in self))


def _fill(loops: Sequence[NDArray[np.float64]], box: _Box, limit: float = math.inf) -> Mask:
    """Fill the union of polygons inside a box of the image, as (box.height, box.width).

    Raises `FormatError` for outlines that cross the middles of columns more than `limit` times.
    """
    edges = _make_edges(loops, box) if loops else None
    if edges is not None and (crossings := int((edges.last - edges.first + 1).sum())) > limit:
        raise _error(f"the outlines cross {crossings} columns of pixels, over {limit}; write the mask as RLE")
    changes = [] if edges is None else [_find_runs(edges, columns, box) for columns in _split_columns(edges)]
    bounds = np.concatenate([np.zeros(1, np.int64), *changes, np.full(1, box.width * box.height)])
    values = np.arange(len(bounds) - 1, dtype=np.uint8) & 1
    columns = np.repeat(values, bounds[1:] - bounds[:-1])
    return np.asarray(cv2.transpose(columns.reshape(box.width, box.height))).view(bool)


def _make_edges(loops: Sequence[NDArray[np.float64]], box: _Box) -> _Edges:
    """Make the edges that cross the middle of at least one column of the box."""
    counts = [len(loop) for loop in loops]
    starts = np.trunc(_SUBPIXELS * np.concatenate(loops) + 0.5).astype(np.int64)
    next_vertex = np.arange(1, len(starts) + 1)
    ends = np.cumsum(counts)
    next_vertex[ends - 1] = ends - counts
    stops = starts[next_vertex]
    first = np.maximum(-((_LEFT - np.minimum(starts, stops)[:, 0]) // _SUBPIXELS), box.left)
    last = np.minimum((np.maximum(starts, stops)[:, 0] - _LEFT - 1) // _SUBPIXELS, box.left + box.width - 1)
    crossing = first <= last
    starts, extent = starts[crossing], (stops - starts)[crossing]
    steep = np.abs(extent[:, 1]) > np.abs(extent[:, 0])
    along = np.where(steep, extent[:, 1], extent[:, 0])  # not 0, since the edge crosses the middle of a column
    slope = np.where(steep, extent[:, 0], extent[:, 1]) / along
    x, y = np.where(along[:, None] < 0, starts + extent, starts).T
    return _Edges(
        np.repeat(np.arange(len(loops)), counts)[crossing], first[crossing], last[crossing], x, y, slope, steep
    )


def _split_columns(edges: _Edges) -> Iterator[range]:
    """Split the columns into ranges of at most `_BLOCK` crossings each, or of one column."""
    if not len(edges.owner):
        return
    begin, end = int(edges.first.min()), int(edges.last.max()) + 1
    count = end - begin
    changes = np.bincount(edges.first - begin, minlength=count + 1)
    changes -= np.bincount(edges.last - begin + 1, minlength=count + 1)
    crossings = np.cumsum(np.cumsum(changes[:-1]))
    start = 0
    while start < count:
        before = crossings[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(crossings, before + _BLOCK, "right")))
        yield range(begin + start, begin + stop)
        start = stop


def _find_runs(edges: _Edges, columns: range, box: _Box) -> Integers:
    """Find the runs of the union of the polygons: beginning, end, beginning, …, counted along the columns of the box.

    A polygon crosses the middle of a column an even number of times: its crossings, from top to bottom, are in turn the
    first row of a run that it covers and the first row below the run.
    """
    edges = edges.select((edges.first < columns.stop) & (edges.last >= columns.start))
    parts = [_find_crossings(edges.select(which), columns, box) for which in (edges.steep, ~edges.steep)]
    owner, column, row = (np.concatenate(part) for part in zip(*parts, strict=True))
    if not len(owner):
        return np.zeros(0, np.int64)
    ordered = np.sort((owner * box.width + column) * (box.height + 1) + row)
    column, row = ordered // (box.height + 1) % box.width, ordered % (box.height + 1)
    offsets = column * box.height + row
    begins, ends = np.sort(offsets[0::2]), np.sort(offsets[1::2])
    closing = np.flatnonzero(np.searchsorted(begins, ends, "right") == np.arange(1, len(ends) + 1))
    opening = np.concatenate([[0], closing[:-1] + 1])
    return np.stack([begins[opening], ends[closing]], axis=1).ravel()


def _find_crossings(edges: _Edges, columns: range, box: _Box) -> tuple[Integers, Integers, Integers]:
    """Find where edges, all steep or all flat, cross the middles of columns.

    Returns:
        For each crossing the polygon, and inside the box the column and the first row below.
    """
    first = np.maximum(edges.first, columns.start)
    counts = np.minimum(edges.last, columns.stop - 1) + 1 - first
    column = np.arange(counts.sum()) + np.repeat(first - np.cumsum(counts) + counts, counts)
    each = edges.select(np.repeat(np.arange(len(counts)), counts))
    upper = (_cross_steep if edges.steep.any() else _cross_flat)(each, _SUBPIXELS * column + _LEFT)
    row = np.clip(-((_LEFT - upper) // _SUBPIXELS) - box.top, 0, box.height)
    return each.owner, column - box.left, row


def _cross_flat(edges: _Edges, before: Integers) -> Integers:
    """Compute the row of subpixels of each crossing: the upper of those left (`before`) and right of the middle."""
    steps = before - edges.x
    return np.minimum(_round(edges.y + edges.slope * steps), _round(edges.y + edges.slope * (steps + 1)))


def _cross_steep(edges: _Edges, before: Integers) -> Integers:
    """Compute the same as `_cross_flat` for edges with one subpixel in every row.

    The step over the middle is estimated and then corrected, since pycocotools rounds the position after every step.
    """
    step = np.floor((before + 0.5 - edges.x) / edges.slope)
    for _ in range(2):
        is_after = _round(edges.x + edges.slope * step) > before
        step += is_after != (edges.slope > 0)  # add a step where the estimate is still before the middle
    return np.asarray(edges.y + step.astype(np.int64) - 1)


def _round(values: NDArray[Any]) -> Integers:
    return np.trunc(values + 0.5).astype(np.int64)


def _trace(mask: Mask) -> list[list[Loop]]:
    """Trace the loops of each component along the corners of pixels; components are 8-connected, holes 4-connected.

    Contours of OpenCV run through the centers of pixels. In an image of twice the size every pixel has four parts, one
    at each of its corners, and the contour passes through the parts at the corners of the outline.
    """
    doubled = mask.view(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parents = np.asarray(hierarchy).reshape(-1, 4)[:, 3].tolist()
    loops = [_find_corners(np.asarray(contour).reshape(-1, 2)) for contour in contours]
    pieces = {number: [loops[number]] for number, parent in enumerate(parents) if parent < 0}
    for number, parent in enumerate(parents):
        if parent >= 0:
            pieces[parent].append(loops[number])
    return sorted(pieces.values(), key=lambda piece: -len(piece[0]))


def _find_corners(contour: NDArray[Any]) -> Loop:
    """Return the corners of pixels that a contour of the doubled image passes, without repetitions."""
    corners = (contour + 1) >> 1
    return np.asarray(corners[(corners != np.roll(corners, 1, axis=0)).any(axis=1)], np.float64)


def _smooth(loop: Loop) -> Loop:
    """Remove the corners of stairs from a loop.

    The result passes through the middle of the first and the last pixel side of each straight part, and through corners
    between two parts of more than one side. Corners of stairs lie on both sides of the line that the stairs
    approximate, so a simplified outline through some of them would be too large or too small.
    """
    if len(loop) == _RECTANGLE:
        return loop
    next_corner = np.roll(loop, -1, axis=0)
    lengths = np.abs(next_corner - loop).sum(axis=1, keepdims=True)
    half = (next_corner - loop) / lengths / 2
    corners = np.minimum(lengths, np.roll(lengths, 1, axis=0)) > 1
    points = np.stack([loop, loop + half, next_corner - half], axis=1)
    selected = np.concatenate([corners, np.ones_like(corners), lengths > 1], axis=1)
    return np.asarray(points[selected])


def _simplify(loop: Loop, tolerance: float) -> Loop:
    if len(loop) == _RECTANGLE:
        return loop
    simple = cv2.approxPolyDP(loop.astype(np.float32), tolerance, True)
    return np.asarray(simple, np.float64).reshape(-1, 2) if len(simple) > 2 else loop


def _simplify_within(loop: Loop, tolerance: float) -> Loop:
    """Simplify a loop by the greatest tolerance of which an area remains."""
    while tolerance > _TOLERANCES_PX[-1]:
        simple = _simplify(loop, tolerance)
        if simple is not loop:
            return simple
        tolerance /= 2
    return _simplify(loop, tolerance)


def _match(pieces: Sequence[Sequence[Loop]], part: Mask, box: _Box) -> bool:
    """Return whether the loops, joined by component and all together, have at least the IoU `MIN_IOU` with the mask."""
    groupings = [[_join(piece) for piece in pieces], [_join([loop for piece in pieces for loop in piece])]]
    for polygons in groupings if len(pieces) > 1 else groupings[:1]:
        filled = _fill(polygons, box)
        intersection, union = (np.count_nonzero(pixels) for pixels in (filled & part, filled | part))
        if intersection < MIN_IOU * union:
            return False
    return True


def _join(loops: Sequence[Loop]) -> Loop:
    """Join loops into one: close each, append the next one, and return from the last to the first."""
    if len(loops) < 2:
        return loops[0] if loops else np.zeros((0, 2))
    rotated = [loops[0]]
    for loop in loops[1:]:
        rotated.append(_start_near(loop, rotated[-1][0]))
    closed = [part for loop in rotated for part in (loop, loop[:1])]
    return np.concatenate([*closed, *(loop[:1] for loop in rotated[-2:0:-1])])


def _start_near(loop: Loop, point: NDArray[np.float64]) -> Loop:
    return np.roll(loop, -int(((loop - point) ** 2).sum(axis=1).argmin()), axis=0)


def _error(message: str) -> FormatError:
    return FormatError("annotation-broken", message)
