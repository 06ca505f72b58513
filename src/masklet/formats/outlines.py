"""Masks as polygons and back: the outline through the pixels at the edge, as annotation tools draw it.

A vertex is the number (x, y) of a pixel at the mask's edge. Filling includes the outline, so an outline with every
vertex gives back its mask exactly; the ones written here are simplified as far as `LEAST_IOU` allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklet.errors import FormatError
from masklet.rle import MAX_PIXELS

LEAST_IOU = 0.995  # of a simplified outline with its mask
_TOLERANCES = (1.0, 0.5)  # pixels that a vertex may be off, tried in this order before every vertex is kept
_FARTHEST = 2**20  # pixels; a coordinate beyond is no coordinate

Loop = NDArray[np.int32]  # (P, 2) xy, closed by itself


def polygon(mask: NDArray[np.bool_]) -> Loop:
    """All of a mask (H, W) as one polygon, empty for an empty mask.

    Pieces and holes are joined by a line that is walked there and back. Where a loop ends its first vertex comes twice
    more, by which `fill` knows the lines that are no part of the mask.
    """
    groups = _groups(mask)
    return _joined([loop for group in groups for loop in group])


def polygons(mask: NDArray[np.bool_]) -> list[Loop]:
    """A mask (H, W) as one polygon per piece, each joined with its holes."""
    return [_joined(group) for group in _groups(mask)]


def fill(found: Iterable[ArrayLike], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask (H, W) that polygons (P, 2) xy cover together, their outlines included.

    Raises `FormatError` for what is no polygon.
    """
    height, width = size
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise FormatError("annotation-broken", f"a picture of {height} × {width} pixels cannot have masks")
    mask = np.zeros(size, np.uint8)
    for one in found:
        cv2.fillPoly(mask, _split(_vertices(one)), 1)
    return mask.view(bool)


def _groups(mask: NDArray[np.bool_]) -> list[list[Loop]]:
    """The loops of each piece, the outer one first, as simple as `LEAST_IOU` allows."""
    exact = _traced(mask)
    for tolerance in _TOLERANCES:
        simple = [[_simplified(loop, tolerance) for loop in group] for group in exact]
        if _alike(simple, mask):
            return simple
    return exact


def _traced(mask: NDArray[np.bool_]) -> list[list[Loop]]:
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    loops, hierarchy = cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not len(loops):
        return []
    parents = np.asarray(hierarchy).reshape(-1, 4)[:, 3].tolist()
    flat: list[Loop] = [np.asarray(loop, np.int32).reshape(-1, 2) for loop in loops]
    groups = {index: [flat[index]] for index, parent in enumerate(parents) if parent < 0}
    for index, parent in enumerate(parents):
        if parent >= 0:
            groups[parent].append(flat[index])
    return sorted(groups.values(), key=lambda group: -len(group[0]))


def _simplified(loop: Loop, tolerance: float) -> Loop:
    simple = np.asarray(cv2.approxPolyDP(loop, tolerance, True), np.int32).reshape(-1, 2)
    return simple if len(simple) > 2 else loop


def _alike(groups: Sequence[Sequence[Loop]], mask: NDArray[np.bool_]) -> bool:
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    drawn = np.zeros((height, width), np.uint8)
    cv2.fillPoly(drawn, [loop - (x, y) for group in groups for loop in group], 1)
    original = mask[y : y + height, x : x + width]
    shared, either = (np.count_nonzero(pixels) for pixels in (drawn & original, drawn | original))
    return bool(shared >= LEAST_IOU * either)


def _joined(loops: Sequence[Loop]) -> Loop:
    """Several loops as one, chained from first vertex to first vertex and back again; at least three vertices."""
    if not loops:
        return np.zeros((0, 2), np.int32)
    if len(loops) == 1:  # tools open polygons of three vertices or more
        return np.concatenate([loops[0], loops[0][-1:].repeat(max(0, 3 - len(loops[0])), axis=0)])
    turned = [loops[0]]
    for loop in loops[1:]:
        turned.append(_starting_near(loop, turned[-1][0]))
    closed = [np.concatenate([loop, loop[:1].repeat(min(len(loop), 2), axis=0)]) for loop in turned]
    return np.concatenate([*closed, _way_back(turned)])


def _starting_near(loop: Loop, point: NDArray[np.int32]) -> Loop:
    return np.roll(loop, -int(((loop - point) ** 2).sum(axis=1).argmin()), axis=0)


def _split(vertices: Loop) -> list[Loop]:
    """The loops that `_joined` joined; any other polygon is one loop."""
    loops: list[Loop] = []
    start = 0
    for end in np.flatnonzero((vertices[1:] == vertices[:-1]).all(axis=1)).tolist():
        if end < start:
            continue  # the next loop begins where this one ended
        loops.append(vertices[start : end + 1])
        start = end + 2
        if (loops[-1][0] != loops[-1][-1]).any():
            break
        if len(loops) > 1 and np.array_equal(vertices[start:], _way_back(loops)):
            return loops
    return [vertices]


def _way_back(loops: Sequence[Loop]) -> Loop:
    """The first vertices of all loops but the last, where the way starts, and the first, where it ends by itself."""
    return np.array([loop[0] for loop in loops[-2:0:-1]], np.int32).reshape(-1, 2)


def _vertices(values: Any) -> Loop:
    try:
        vertices = np.asarray(values, np.float64)
    except (TypeError, ValueError) as cause:
        raise FormatError("annotation-broken", "a polygon must be a list of numbers") from cause
    if vertices.ndim != 2 or vertices.shape[1] != 2 or not len(vertices):
        raise FormatError("annotation-broken", f"a polygon must be (P, 2) points, got shape {vertices.shape}")
    if not (np.abs(vertices) <= _FARTHEST).all():
        raise FormatError("annotation-broken", "a polygon has a vertex that is no finite place in a picture")
    return np.rint(vertices).astype(np.int32)
