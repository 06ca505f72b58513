"""Pictures and masks at another size: antialiased bilinear, as PyTorch's `interpolate(antialias=True)` computes it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BAND = 16  # results that are computed by one product: few enough that most weights are not zero
AT_ONCE = 1 << 18  # multiplications of one product
"""For more, NumPy's library wakes other threads and waits for them: where the processors are busy with something else,
40 times as long as the products take."""


def resize_antialiased(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Planes (…, H, W), float32 or float64, at `size` (h, w), in the same dtype.

    Each result is a mean weighted by a triangle as wide as two of its pixels, or as two of the given ones where those
    are larger; half-pixel centres, weights cut off at the edges and scaled to add up to one (reference-model §2.1).
    """
    for axis in (-1, -2):
        length = size[axis]
        if values.shape[axis] != length:
            lines = np.moveaxis(values, axis, -2)
            bands = [_weighted(lines, *band) for band in _bands(lines.shape[-2], length)]
            values = np.moveaxis(np.concatenate(bands, axis=-2), -2, axis)
    return values


def _weighted(lines: NDArray[Any], rows: slice, weights: NDArray[np.float64]) -> NDArray[Any]:
    """The weighted sums of some rows of (…, rows, columns), a few columns at a time."""
    given, weights = lines[..., rows, :], weights.astype(lines.dtype)
    columns = max(1, AT_ONCE // weights.size)
    parts = [weights @ given[..., first : first + columns] for first in range(0, given.shape[-1], columns)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


class _Band(NamedTuple):
    rows: slice  # of what is given
    weights: NDArray[np.float64]  # (results, rows)


@lru_cache(maxsize=16)
def _bands(source: int, target: int) -> tuple[_Band, ...]:
    scale = source / target
    support = max(scale, 1.0)
    centres = scale * (np.arange(target) + 0.5)
    starts = np.maximum((centres - support + 0.5).astype(np.int64), 0)
    stops = np.minimum((centres + support + 0.5).astype(np.int64), source)
    bands = []
    for first in range(0, target, BAND):
        part = slice(first, first + BAND)
        rows = np.arange(starts[part][0], stops[part][-1])
        distance = np.abs(rows + 0.5 - centres[part, None]) / support
        inside = (rows >= starts[part, None]) & (rows < stops[part, None])
        weights = np.where(inside, np.maximum(1 - distance, 0), 0)
        bands.append(_Band(slice(int(rows[0]), int(rows[-1]) + 1), weights / weights.sum(axis=1, keepdims=True)))
    return tuple(bands)
