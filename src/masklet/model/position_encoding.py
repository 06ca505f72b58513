"""Sine, time and Fourier position encodings. `rope.py` has the rotary one.

Every encoding has the dtype and the device of a reference tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from masklet.position_tables import Table, compute_cell_centers, compute_sine_table, compute_wavelengths

if TYPE_CHECKING:
    from jaxtyping import Float

MAX_TABLES = 32  # on devices at a time


@lru_cache(MAX_TABLES)
def load_table(
    compute: Callable[..., Table], sizes: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "*shape"]:
    """Return the table `compute(*sizes)` of `masklet.position_tables` on a device. Callers must not change it."""
    with torch.inference_mode(False):  # training may use the same tensor later
        return torch.from_numpy(compute(*sizes)).to(dtype).to(device)


def promote_to_float32(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that encodings are computed in: float64 for a float64 network, float32 for any other."""
    return torch.promote_types(dtype, torch.float32)


def compute_sine_encoding(
    height: int, width: int, channels: int, like: Tensor
) -> Float[Tensor, "{channels} {height} {width}"]:
    """Compute the sine encoding of a feature map (reference-model §3.4).

    The first half of the channels encodes y, the second half x, with sines and cosines interleaved.

    Args:
        height: Rows of the map.
        width: Columns of the map.
        channels: Channels of the encoding, a multiple of 4.
        like: Tensor that gives the device and the dtype of the result.

    Returns:
        The encoding.
    """
    table = load_table(compute_sine_table, (height, width, channels), like.dtype, like.device)
    return table.mT.unflatten(1, (height, width))


def compute_time_encoding(times: Float[Tensor, "*batch"], channels: int) -> Float[Tensor, "*batch {channels}"]:
    """Encode `times` in [−1, 1]: all sines, then all cosines (reference-model §6.3)."""
    dtype = promote_to_float32(times.dtype)
    angles = times[..., None] / load_table(compute_wavelengths, (channels // 2,), dtype, times.device)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


class FourierEncoding(nn.Module):
    """Random Fourier features of positions in [0, 1]²: sines, then cosines (reference-model §4)."""

    gaussian: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("gaussian", torch.zeros(2, channels // 2))  # drawn once, before training

    def forward(self, positions: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch C"]:
        """Encode `positions`, xy as fractions of the image."""
        gaussian = self.gaussian.to(promote_to_float32(self.gaussian.dtype))
        angles = 2 * math.pi * ((2 * positions.to(gaussian.dtype) - 1) @ gaussian)
        return torch.cat((angles.sin(), angles.cos()), dim=-1)

    def encode_grid(self, height: int, width: int) -> Float[Tensor, "1 C {height} {width}"]:
        """Encode the cell centers of a grid."""
        dtype = promote_to_float32(self.gaussian.dtype)
        encoding: Tensor = self(load_table(compute_cell_centers, (height, width), dtype, self.gaussian.device))
        return encoding.mT.unflatten(1, (height, width))[None]
