"""Position encodings of maps as NumPy tables, for the networks in PyTorch and for the ONNX graphs.

Tables are float64 and depend on sizes alone. Maps are listed row by row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masklet.config import WAVE_CYCLES

_TEMPERATURE = 10_000.0  # of the sine and rotary encodings, as released
_CUBIC_A = -0.75  # of the kernel of bicubic resizing, as in PyTorch
Table = NDArray[np.float64]


def compute_wavelengths(count: int) -> Table:
    """Compute the `count` wavelengths of the sine encoding; a sine and the cosine beside it share one."""
    return np.asarray(_TEMPERATURE ** (2 * (np.arange(count) // 2) / count))


def compute_sine_table(height: int, width: int, channels: int) -> Table:
    """Compute the sine encoding (height · width, channels) of a map (reference-model §3.4).

    The first half of the channels encodes y, the second half x. `channels` is a multiple of 4.
    """
    rows, columns = (compute_sine_waves(side, channels) for side in (height, width))
    encodings = np.broadcast_arrays(rows[:, None], columns[None])
    return np.concatenate(encodings, axis=-1).reshape(height * width, channels)


def compute_sine_waves(side: int, channels: int) -> Table:
    """Compute the sine encoding along one axis, (side, channels / 2), with sines and cosines interleaved."""
    angles = (np.arange(1, side + 1) / (side + 1e-6) * 2 * np.pi)[:, None] / compute_wavelengths(channels // 2)
    return np.stack((np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])), axis=-1).reshape(side, -1)


def compute_axial_angles(side: int, channels: int) -> Table:
    """Compute the angles of the rotary encoding (side², channels / 2) of a map (reference-model §6.2).

    The first half of the channel pairs rotates with x, the second half with y. `channels` is a multiple of 4.
    """
    frequencies = _TEMPERATURE ** -(np.arange(0, channels, 4) / channels)
    angles = np.arange(side)[:, None] * frequencies
    x, y = np.broadcast_arrays(angles[None], angles[:, None])
    return np.concatenate((x, y), axis=-1).reshape(side * side, channels // 2)


def compute_latent_positions(global_count: int, grid: int, channels: int) -> Table:
    """Compute the position encodings (global_count + grid², channels) of latents.

    Those of the global latents are zero, those of the patch latents the sine encoding of their grid.
    """
    return np.concatenate((np.zeros((global_count, channels)), compute_sine_table(grid, grid, channels)))


def compute_latent_angles(global_count: int, grid: int, channels: int) -> Table:
    """Compute the angles of the rotary encoding (global_count + grid², channels / 2) of latents.

    Global latents are not rotated, patch latents as a map of their grid.
    """
    return np.concatenate((np.zeros((global_count, channels // 2)), compute_axial_angles(grid, channels)))


def compute_cell_centers(height: int, width: int) -> Table:
    """Compute the cell centers (height · width, 2) of a grid, xy as fractions of the image."""
    x, y = np.meshgrid(*((np.arange(side) + 0.5) / side for side in (width, height)))
    return np.stack((x, y), axis=-1).reshape(-1, 2)


def compute_position_waves(height: int, width: int) -> Table:
    """Compute waves over a map, (`POSITION_WAVES`, height, width): for each of `WAVE_CYCLES` sines, then cosines.

    Waves along x and along y alternate.
    """
    y, x = (np.pi * ((2 * np.arange(side) + 1) / side - 1) for side in (height, width))
    waves = [
        np.broadcast_to(wave(cycles * angle), (height, width))
        for cycles in WAVE_CYCLES
        for wave in (np.sin, np.cos)
        for angle in (x, y[:, None])
    ]
    return np.stack(waves)


def compute_cubic_matrix(source: int, target: int) -> Table:
    """Compute bicubic resizing along one axis as a matrix (target, source) (reference-model §3.1).

    Pixels are compared by their centers; edges are clamped.
    """
    centers = (np.arange(target) + 0.5) * source / target - 0.5
    first = np.floor(centers) - 1
    matrix = np.zeros((target, source))
    for tap in range(4):
        columns = np.clip(first + tap, 0, source - 1).astype(np.int64)
        np.add.at(matrix, (np.arange(target), columns), _cubic_weight(centers - first - tap))
    return matrix


def _cubic_weight(distance: Table) -> Table:
    a, d = _CUBIC_A, np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
