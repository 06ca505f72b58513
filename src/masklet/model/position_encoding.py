"""Where things are, as numbers that a network can read: sine tables, random waves, rotations.

Every table is computed from sizes alone, in float32 or better, and follows the device of its reference tensor.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

TEMPERATURE = 10_000.0  # longest wavelength of the sine tables and of the rotations, as released


class Rotation(NamedTuple):
    """Cosines and sines (tokens, pairs) that turn each pair of neighbouring channels by its token's place."""

    cos: Tensor
    sin: Tensor

    def turn(self, x: Tensor) -> Tensor:
        """Rotate the channel pairs (2c, 2c+1) of x (…, tokens, channels); real numbers only (reference-model §6.2)."""
        even, odd = x.to(self.cos.dtype).unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack((even * self.cos - odd * self.sin, even * self.sin + odd * self.cos), dim=-1)
        return turned.flatten(-2).to(x.dtype)


def precise(dtype: torch.dtype) -> torch.dtype:
    """The dtype to compute tables in: float32, or float64 where that is what the network runs in."""
    return torch.promote_types(dtype, torch.float32)


def sine_table(height: int, width: int, channels: int, like: Tensor) -> Tensor:
    """(channels, height, width): the first half of the channels tells y, the second x, sines and cosines
    interleaved (reference-model §3.4)."""
    waves = _wavelengths(channels // 2, like)
    y, x = (
        (torch.arange(1, side + 1, device=like.device, dtype=waves.dtype) / (side + 1e-6) * 2 * math.pi)[:, None]
        / waves
        for side in (height, width)
    )
    y, x = (torch.stack((t[:, 0::2].sin(), t[:, 1::2].cos()), dim=-1).flatten(1) for t in (y, x))
    rows, columns = y.mT[:, :, None].expand(-1, height, width), x.mT[:, None, :].expand(-1, height, width)
    return torch.cat((rows, columns)).to(like.dtype)


def time_table(times: Tensor, channels: int) -> Tensor:
    """(…, channels) for `times` (…) in [−1, 1]: all sines, then all cosines (reference-model §6.3)."""
    angles = times[..., None] / _wavelengths(channels // 2, times)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


def axial_rotation(side: int, channels: int, like: Tensor) -> Rotation:
    """Rotations of the `side` × `side` tokens of a feature map, row by row: the first half of the channel pairs
    turns with x, the second with y (reference-model §6.2)."""
    dtype = precise(like.dtype)
    exponents = torch.arange(0, channels, 4, device=like.device, dtype=dtype) / channels
    speeds = TEMPERATURE**-exponents
    places = torch.arange(side, device=like.device, dtype=dtype)[:, None] * speeds
    x, y = places.expand(side, -1, -1), places[:, None].expand(-1, side, -1)
    angles = torch.cat((x, y), dim=-1).flatten(0, 1)
    return Rotation(angles.cos(), angles.sin())


class FourierPositions(nn.Module):
    """Random waves over the picture: sines then cosines of places in [0, 1]² (reference-model §4)."""

    gaussian: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("gaussian", torch.zeros(2, channels // 2))  # drawn once, before training

    def forward(self, places: Tensor) -> Tensor:
        """(…, 2) xy fractions → (…, channels)."""
        gaussian = self.gaussian.to(precise(self.gaussian.dtype))
        angles = 2 * math.pi * ((2 * places.to(gaussian.dtype) - 1) @ gaussian)
        return torch.cat((angles.sin(), angles.cos()), dim=-1)

    def grid(self, height: int, width: int) -> Tensor:
        """(1, channels, height, width): the waves at the centres of the grid's cells."""
        y, x = (
            (torch.arange(side, device=self.gaussian.device, dtype=precise(self.gaussian.dtype)) + 0.5) / side
            for side in (height, width)
        )
        places = torch.stack((x.expand(height, -1), y[:, None].expand(-1, width)), dim=-1)
        table: Tensor = self(places)
        return table.permute(2, 0, 1)[None]


def _wavelengths(count: int, like: Tensor) -> Tensor:
    steps = torch.arange(count, device=like.device, dtype=precise(like.dtype))
    return TEMPERATURE ** (2 * (steps / 2).floor() / count)
