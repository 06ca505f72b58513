"""Rasterizer of triangles: a z-buffer in NumPy.

The pixels of a triangle on one row are a span. The pixels of all spans are one array of fragments, and a
scatter-maximum of 1/depth selects the nearest fragment of each pixel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MIN_DEPTH = 1e-3
"""Triangles with a corner nearer than this are left out instead of clipped. Cameras are outside of the meshes."""


class Fragments(NamedTuple):
    """The F visible pixels of a rendering: flat pixel index (F,), triangle (F,), perspective-correct weights (F, 3)."""

    pixels: NDArray[np.int64]
    triangles: NDArray[np.int64]
    weights: NDArray[np.float32]


class _Spans(NamedTuple):
    """Spans: triangle, row, first column and number of columns of each."""

    triangles: NDArray[np.int64]
    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    lengths: NDArray[np.int64]


def rasterize_triangles(corners: NDArray[np.float32], size: tuple[int, int]) -> Fragments:
    """Find the visible triangle of each pixel.

    Args:
        corners: Projected corners (T, 3, 3) float32: x and y in pixels, and depth.
        size: Size of the image (H, W).

    Returns:
        The visible fragments. A pixel is covered by a triangle if its center is.
    """
    height, width = size
    numbers, planes = _compute_planes(corners.astype(np.float64))
    spans = _build_spans(corners[numbers].astype(np.float64), planes, height, width)
    inverse_depth = 1 / corners[numbers, :, 2].astype(np.float64)
    weighted = planes * inverse_depth[..., None]  # weight / depth of each corner, linear on the screen
    nearness = weighted.sum(1)

    span = np.repeat(np.arange(len(spans.lengths)), spans.lengths)
    before = np.cumsum(spans.lengths) - spans.lengths
    step = np.arange(len(span)) - before[span]
    slope = nearness[spans.triangles, 0]
    start = (
        slope * (spans.first + 0.5) + nearness[spans.triangles, 1] * (spans.rows + 0.5) + nearness[spans.triangles, 2]
    )
    near = (start[span] + slope[span] * step).astype(np.float32)
    pixels = (spans.rows * width + spans.first)[span] + step
    visible = _find_nearest(pixels, near, height * width)

    pixels, owner = pixels[visible], spans.triangles[span[visible]]
    rows, columns = np.divmod(pixels, width)
    point = np.stack([columns + 0.5, rows + 0.5, np.ones(len(pixels))], 1)
    weights = np.einsum("fkc,fc->fk", weighted[owner], point)
    weights = np.maximum(weights, 0) / np.maximum(weights.sum(1, keepdims=True), 1e-12)
    return Fragments(pixels, numbers[owner], weights.astype(np.float32))


def _compute_planes(corners: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the drawable triangles (N,), and the planes (a, b, c) of the corners' weights a x + b y + c (N, 3, 3)."""
    x, y = corners[..., 0], corners[..., 1]
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    numbers = np.flatnonzero((np.abs(area) > 1e-9) & (corners[..., 2] > MIN_DEPTH).all(1))
    x, y, area = x[numbers], y[numbers], area[numbers]
    following, last = [1, 2, 0], [2, 0, 1]
    a = y[:, following] - y[:, last]
    b = x[:, last] - x[:, following]
    c = x[:, following] * y[:, last] - x[:, last] * y[:, following]
    return numbers, np.stack([a, b, c], -1) / area[:, None, None]


def _build_spans(corners: NDArray[np.float64], planes: NDArray[np.float64], height: int, width: int) -> _Spans:
    """Return the spans of all triangles that cover at least one pixel center inside the image."""
    top = np.clip(np.ceil(corners[..., 1].min(1) - 0.5), 0, height).astype(np.int64)
    bottom = np.clip(np.floor(corners[..., 1].max(1) - 0.5) + 1, 0, height).astype(np.int64)
    counts = np.maximum(bottom - top, 0)
    triangles = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(len(triangles)) - (np.cumsum(counts) - counts)[triangles] + top[triangles]
    a = planes[triangles, :, 0]
    rest = planes[triangles, :, 1] * (rows + 0.5)[:, None] + planes[triangles, :, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = -rest / a
    level = np.abs(a) < 1e-12  # a horizontal edge: the row is on one side of it
    lower = np.where(level, np.where(rest >= 0, -np.inf, np.inf), np.where(a > 0, crossing, -np.inf))
    upper = np.where(level, np.inf, np.where(a < 0, crossing, np.inf))
    low = np.maximum(
        np.maximum(lower[:, 0], lower[:, 1]), lower[:, 2]
    )  # .max(1) on three columns takes three times as long
    high = np.minimum(np.minimum(upper[:, 0], upper[:, 1]), upper[:, 2])
    first = np.ceil(np.clip(low - 0.5, 0, width)).astype(np.int64)
    last = np.floor(np.clip(high - 0.5, -1, width - 1)).astype(np.int64)
    covering = np.flatnonzero(last >= first)
    return _Spans(triangles[covering], rows[covering], first[covering], (last - first + 1)[covering])


def _find_nearest(pixels: NDArray[np.int64], near: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return, for every covered pixel, the index of the fragment with the largest `near` (1/depth)."""
    best = np.zeros(count, np.float32)
    np.maximum.at(best, pixels, near)
    winners = np.flatnonzero(near >= best[pixels])
    nearest = np.full(count, -1, np.int64)
    nearest[pixels[winners]] = winners
    return nearest[nearest >= 0]
