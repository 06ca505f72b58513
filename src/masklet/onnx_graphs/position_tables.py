"""Position tables in NumPy: the values of `masklet.model.position_encoding`, as constants of the graphs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TEMPERATURE = 10_000.0  # longest wavelength of the sine tables and of the rotations, as released
Table = NDArray[np.float64]


def wavelengths(count: int) -> Table:
    """Of the sine tables: each sine shares its wavelength with the cosine beside it."""
    return np.asarray(TEMPERATURE ** (2 * (np.arange(count) // 2) / count))


def sine_table(side: int, channels: int) -> Table:
    """(side², channels), row by row: the first half of the channels tells y, the second x (reference-model §3.4)."""
    waves = sine_waves(side, channels)
    rows, columns = np.broadcast_arrays(waves[:, None], waves[None])
    return np.concatenate((rows, columns), axis=-1).reshape(side * side, channels)


def sine_waves(side: int, channels: int) -> Table:
    """(side, channels / 2): one line of the sine table."""
    angles = (np.arange(1, side + 1) / (side + 1e-6) * 2 * np.pi)[:, None] / wavelengths(channels // 2)
    return np.stack((np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])), axis=-1).reshape(side, -1)


def axial_angles(side: int, channels: int) -> Table:
    """(side², channels / 2), row by row: how far each pair of channels is turned; the first half tells x, the second
    y (reference-model §6.2)."""
    speeds = TEMPERATURE ** -(np.arange(0, channels, 4) / channels)
    turns = np.arange(side)[:, None] * speeds
    x, y = np.broadcast_arrays(turns[None], turns[:, None])
    return np.concatenate((x, y), axis=-1).reshape(side * side, channels // 2)


def centres(side: int) -> Table:
    """(side², 2), row by row: xy of the cells' centres as fractions of the picture."""
    places = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(places, places)
    return np.stack((x, y), axis=-1).reshape(-1, 2)


def cubic(source: int, target: int) -> Table:
    """Bicubic resize along one axis as a matrix (target, source): a = −0.75, edges clamped (reference-model §3.1)."""
    places = (np.arange(target) + 0.5) * source / target - 0.5
    first = np.floor(places) - 1
    matrix = np.zeros((target, source))
    for tap in range(4):
        columns = np.clip(first + tap, 0, source - 1).astype(np.int64)
        np.add.at(matrix, (np.arange(target), columns), _cubic_weight(places - first - tap))
    return matrix


def _cubic_weight(distance: Table) -> Table:
    a, d = -0.75, np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
