"""Necks: the maps of a trunk → the three maps of `Features` (reference-model §3.2, §3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from masklet.backend import Features
from masklet.config import MASK_STRIDE, STRIDE, STRIDES, ModelConfig
from masklet.model.layers import ChannelNorm

if TYPE_CHECKING:
    from jaxtyping import Float

    from masklet.model.trunk import TrunkMaps


class Neck(nn.Module):
    """Feature pyramid: trunk maps (strides 4, 8, 16, 32) → `Features` (strides 4, 8, 16)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        fine, medium, channels = config.feature_channels
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in config.levels.values())  # finest first
        self.stride4 = nn.Conv2d(channels, fine, 1)
        self.stride8 = nn.Conv2d(channels, medium, 1)

    def forward(self, maps: TrunkMaps) -> Features[Tensor]:
        stride16 = self.laterals[2](maps[2]) + F.interpolate(self.laterals[3](maps[3]), scale_factor=2, mode="nearest")
        return Features(
            _apply_merged(self.laterals[0], self.stride4, maps[0]),
            _apply_merged(self.laterals[1], self.stride8, maps[1]),
            stride16,
        )


class PlainNeck(nn.Module):
    """EfficientTAM's neck: one trunk map (stride 16) → `Features` without channels at strides 4 and 8."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.channels
        self.project = nn.Conv2d(config.levels[STRIDE], channels, 1, bias=False)
        self.norm1 = ChannelNorm(channels)
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = ChannelNorm(channels)

    def forward(self, maps: tuple[Float[Tensor, "B C h w"]]) -> Features[Tensor]:
        x = self.norm2(self.smooth(self.norm1(self.project(maps[0]))))
        batch, _, height, width = x.shape
        scales = (STRIDE // MASK_STRIDE, STRIDE // STRIDES[1])
        stride4, stride8 = (x.new_zeros(batch, 0, scale * height, scale * width) for scale in scales)
        return Features(stride4, stride8, x)


def _apply_merged(first: nn.Module, second: nn.Conv2d, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B out h w"]:
    """Apply two 1 × 1 convolutions as one: no other layer reads the result of the first at strides 4 and 8."""
    assert isinstance(first, nn.Conv2d)
    inner, outer = first.weight.flatten(1), second.weight.flatten(1)
    assert first.bias is not None and second.bias is not None
    bias = F.linear(first.bias, outer, second.bias)
    return F.conv2d(x, (outer @ inner)[:, :, None, None], bias)
