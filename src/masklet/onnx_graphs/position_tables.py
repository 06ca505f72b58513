"""Position encodings in NumPy, as constants of the graphs. They equal those of `masklet.model`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TEMPERATURE = 10_000.0  # of the sine and rotary encodings, as released
Table = NDArray[np.float64]


def compute_wavelengths(count: int) -> Table:
    """Compute the `count` wavelengths of the sine encoding; a sine and the cosine beside it share one."""
    return np.asarray(TEMPERATURE ** (2 * (np.arange(count) // 2) / count))


def compute_sine_table(side: int, channels: int) -> Table:
    """Compute the sine encoding (side², channels), row by row (reference-model §3.4).

    The first half of the channels encodes y, the second half x.
    """
    waves = compute_sine_waves(side, channels)
    rows, columns = np.broadcast_arrays(waves[:, None], waves[None])
    return np.concatenate((rows, columns), axis=-1).reshape(side * side, channels)


def compute_sine_waves(side: int, channels: int) -> Table:
    """Compute the sine encoding along one axis, (side, channels / 2)."""
    angles = (np.arange(1, side + 1) / (side + 1e-6) * 2 * np.pi)[:, None] / compute_wavelengths(channels // 2)
    return np.stack((np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])), axis=-1).reshape(side, -1)


def compute_axial_angles(side: int, channels: int) -> Table:
    """Compute the angles of the rotary encoding (side², channels / 2), row by row (reference-model §6.2).

    The first half of the channel pairs rotates with x, the second half with y.
    """
    frequencies = TEMPERATURE ** -(np.arange(0, channels, 4) / channels)
    angles = np.arange(side)[:, None] * frequencies
    x, y = np.broadcast_arrays(angles[None], angles[:, None])
    return np.concatenate((x, y), axis=-1).reshape(side * side, channels // 2)


def compute_cell_centers(side: int) -> Table:
    """Compute the cell centers (side², 2) of a grid, xy as fractions of the image, row by row."""
    centers = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(centers, centers)
    return np.stack((x, y), axis=-1).reshape(-1, 2)


def compute_cubic_matrix(source: int, target: int) -> Table:
    """Compute bicubic resizing along one axis as a matrix (target, source) (reference-model §3.1).

    The kernel has a = −0.75; edges are clamped.
    """
    centers = (np.arange(target) + 0.5) * source / target - 0.5
    first = np.floor(centers) - 1
    matrix = np.zeros((target, source))
    for tap in range(4):
        columns = np.clip(first + tap, 0, source - 1).astype(np.int64)
        np.add.at(matrix, (np.arange(target), columns), _cubic_weight(centers - first - tap))
    return matrix


def _cubic_weight(distance: Table) -> Table:
    a, d = -0.75, np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
