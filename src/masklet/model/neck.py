"""Feature pyramid neck: four trunk maps → the three maps of `Features` (reference-model §3.2, §3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from masklet.backend import Features
from masklet.config import ModelConfig

if TYPE_CHECKING:
    from jaxtyping import Float

    from masklet.model.trunk import TrunkMaps


class Neck(nn.Module):
    """Trunk maps (strides 4, 8, 16, 32) → `Features` (strides 4, 8, 16)."""

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


def _apply_merged(first: nn.Module, second: nn.Conv2d, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B out h w"]:
    """Apply two 1 × 1 convolutions as one: no other layer reads the result of the first at strides 4 and 8."""
    assert isinstance(first, nn.Conv2d)
    inner, outer = first.weight.flatten(1), second.weight.flatten(1)
    assert first.bias is not None and second.bias is not None
    bias = F.linear(first.bias, outer, second.bias)
    return F.conv2d(x, (outer @ inner)[:, :, None, None], bias)
