"""Sine, time and Fourier position encodings. `rope.py` has the rotary one.

Every encoding is computed from sizes alone, in float32 or better, on the device of a reference tensor.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TEMPERATURE = 10_000.0  # of the sine and rotary encodings, as released


def promote_to_float32(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that encodings are computed in: float64 for a float64 network, float32 for any other."""
    return torch.promote_types(dtype, torch.float32)


def compute_sine_encoding(height: int, width: int, channels: int, like: Tensor) -> Tensor:
    """Compute the sine encoding of a feature map (reference-model §3.4).

    The first half of the channels encodes y, the second half x, with sines and cosines interleaved.

    Args:
        height: Rows of the map.
        width: Columns of the map.
        channels: Channels of the encoding, a multiple of 4.
        like: Tensor that gives the device and the dtype of the result.

    Returns:
        Tensor (channels, height, width).
    """
    wavelengths = _compute_wavelengths(channels // 2, like)
    y, x = (
        (torch.arange(1, side + 1, device=like.device, dtype=wavelengths.dtype) / (side + 1e-6) * 2 * math.pi)[:, None]
        / wavelengths
        for side in (height, width)
    )
    y, x = (torch.stack((t[:, 0::2].sin(), t[:, 1::2].cos()), dim=-1).flatten(1) for t in (y, x))
    rows, columns = y.mT[:, :, None].expand(-1, height, width), x.mT[:, None, :].expand(-1, height, width)
    return torch.cat((rows, columns)).to(like.dtype)


def compute_time_encoding(times: Tensor, channels: int) -> Tensor:
    """Encode `times` (…) in [−1, 1] as (…, channels): all sines, then all cosines (reference-model §6.3)."""
    angles = times[..., None] / _compute_wavelengths(channels // 2, times)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


class FourierEncoding(nn.Module):
    """Random Fourier features of positions in [0, 1]²: sines, then cosines (reference-model §4)."""

    gaussian: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("gaussian", torch.zeros(2, channels // 2))  # drawn once, before training

    def forward(self, positions: Tensor) -> Tensor:
        """Encode `positions` (…, 2), xy as fractions of the image, as (…, channels)."""
        gaussian = self.gaussian.to(promote_to_float32(self.gaussian.dtype))
        angles = 2 * math.pi * ((2 * positions.to(gaussian.dtype) - 1) @ gaussian)
        return torch.cat((angles.sin(), angles.cos()), dim=-1)

    def encode_grid(self, height: int, width: int) -> Tensor:
        """Encode the cell centers of a `height` × `width` grid as (1, channels, height, width)."""
        y, x = (
            (torch.arange(side, device=self.gaussian.device, dtype=promote_to_float32(self.gaussian.dtype)) + 0.5)
            / side
            for side in (height, width)
        )
        centers = torch.stack((x.expand(height, -1), y[:, None].expand(-1, width)), dim=-1)
        encoding: Tensor = self(centers)
        return encoding.permute(2, 0, 1)[None]


def _compute_wavelengths(count: int, like: Tensor) -> Tensor:
    """Compute `count` wavelengths; a sine and the cosine beside it share one."""
    steps = torch.arange(count, device=like.device, dtype=promote_to_float32(like.dtype))
    return TEMPERATURE ** (2 * (steps / 2).floor() / count)
