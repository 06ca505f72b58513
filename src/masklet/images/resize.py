"""Resizing of images: antialiased bilinear, equal to PyTorch's `interpolate(antialias=True)`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_BAND_ROWS = 16  # rows of the result per matrix product: few, so that most weights are not zero
_MAX_MULTIPLICATIONS = 1 << 18
"""Multiplications of one matrix product. For larger ones, the BLAS library of NumPy wakes other threads and waits for
them: on busy processors 40 times as long as the product itself takes."""


def resize_antialiased(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize the last two axes of an array (reference-model §2.1).

    Each pixel of the result is a mean with triangular weights. The triangle is as wide as two pixels of the result, or
    as two given pixels if those are larger. Pixel centers are at half pixels; weights are cut off at the edges and
    normalized.

    Args:
        values: Planes (…, H, W), float32 or float64.
        size: The new size (h, w).

    Returns:
        Planes (…, h, w) of the same dtype; `values` itself if it has that size.
    """
    for axis in (-1, -2):
        length = size[axis]
        if values.shape[axis] != length:
            lines = np.moveaxis(values, axis, -2)
            bands = [_sum_weighted(lines, *band) for band in _make_bands(lines.shape[-2], length)]
            values = np.moveaxis(np.concatenate(bands, axis=-2), -2, axis)
    return values


def _sum_weighted(lines: NDArray[Any], rows: slice, weights: NDArray[np.float64]) -> NDArray[Any]:
    """Compute weighted sums of some rows of `lines` (…, rows, columns), for a few columns at a time."""
    selected, weights = lines[..., rows, :], weights.astype(lines.dtype)
    columns = max(1, _MAX_MULTIPLICATIONS // weights.size)
    parts = [weights @ selected[..., first : first + columns] for first in range(0, selected.shape[-1], columns)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


class _Band(NamedTuple):
    rows: slice  # of the given array
    weights: NDArray[np.float64]  # (rows of the result, rows of the given array)


@lru_cache(maxsize=16)
def _make_bands(source: int, target: int) -> tuple[_Band, ...]:
    scale = source / target
    support = max(scale, 1.0)
    centers = scale * (np.arange(target) + 0.5)
    starts = np.maximum((centers - support + 0.5).astype(np.int64), 0)
    stops = np.minimum((centers + support + 0.5).astype(np.int64), source)
    bands = []
    for first in range(0, target, _BAND_ROWS):
        part = slice(first, first + _BAND_ROWS)
        rows = np.arange(starts[part][0], stops[part][-1])
        distance = np.abs(rows + 0.5 - centers[part, None]) / support
        inside = (rows >= starts[part, None]) & (rows < stops[part, None])
        weights = np.where(inside, np.maximum(1 - distance, 0), 0)
        bands.append(_Band(slice(int(rows[0]), int(rows[-1]) + 1), weights / weights.sum(axis=1, keepdims=True)))
    return tuple(bands)
