"""Memory encoder: fuses image features and a mask into a memory map (reference-model §6.1)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.config import FUSER_BLOCKS, LAYER_NORM_EPS, ModelConfig
from masklet.model.layers import ChannelNorm

if TYPE_CHECKING:
    from jaxtyping import Float


class MemoryEncoder(nn.Module):
    """Raw features and masks in [−10, 10] → memory maps."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.channels
        self.mask = MaskDownsampler(channels)
        self.image = nn.Conv2d(channels, channels, 1)
        self.fuser = nn.ModuleList(FuserBlock(channels) for _ in range(FUSER_BLOCKS))
        self.out = nn.Conv2d(channels, config.memory_channels, 1)

    def forward(
        self, image: Float[Tensor, "#B C h w"], mask: Float[Tensor, "B 1 16*h 16*w"]
    ) -> Float[Tensor, "B c h w"]:
        x = self.image(image) + self.mask(mask)
        for block in self.fuser:
            x = block(x)
        return self.out(x)


class MaskDownsampler(nn.Module):
    """Four convolutions of stride 2, each with four times the channels of the one before, then a 1 × 1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = [1, *(channels // 4**power for power in (3, 2, 1, 0))]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(ChannelNorm(width) for width in widths[1:])
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B C H//16 W//16"]:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.gelu(norm(conv(x)))
        return self.out(x)


class FuserBlock(nn.Module):
    """A ConvNeXt block with a learned layer scale (`gain`)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=LAYER_NORM_EPS)
        self.up = nn.Linear(channels, 4 * channels)
        self.down = nn.Linear(4 * channels, channels)
        self.gain = nn.Parameter(torch.full((channels,), 1e-6))

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.gain * self.down(F.gelu(self.up(y)))
        return x + y.permute(0, 3, 1, 2)
