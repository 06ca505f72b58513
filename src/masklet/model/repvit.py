"""RepViT, the trunk of EdgeTAM: an image → features at four strides.

The network has the form for inference: batch norms and the branches of the token mixers are folded into the
convolutions (`checkpoints/batch_norms.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from masklet.config import ModelConfig, RepVitBlockConfig, RepVitStageConfig

if TYPE_CHECKING:
    from jaxtyping import Float

    from masklet.model.trunk import TrunkMaps


class RepVit(nn.Module):
    """Images → features at four strides. The sides of images are multiples of 32."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.levels = config.levels
        stages = config.repvit_stages
        width = stages[0].out
        self.stem1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1)
        self.stem2 = nn.Conv2d(width // 2, width, 3, stride=2, padding=1)
        self.stages = nn.ModuleList(RepVitStage(stage) for stage in stages)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> TrunkMaps:
        x = self.stem2(F.gelu(self.stem1(image)))
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        first, second, third, fourth = outputs
        return first, second, third, fourth


class RepVitStage(nn.Module):
    """Blocks of one width. All stages but the first halve the sides of the map before them."""

    def __init__(self, config: RepVitStageConfig) -> None:
        super().__init__()
        self.before: RepVitBlock | None = None
        if config.before is not None:
            channels, out = config.channels, config.out
            self.before = RepVitBlock(config.before)
            self.spatial = nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels)
            self.channel = nn.Conv2d(channels, out, 1)
            self.up, self.down = nn.Conv2d(out, 2 * out, 1), nn.Conv2d(2 * out, out, 1)
        self.blocks = nn.ModuleList(RepVitBlock(block) for block in config.blocks)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        if self.before is not None:
            x = self.channel(self.spatial(self.before(x)))
            x = x + self.down(F.gelu(self.up(x)))
        for block in self.blocks:
            x = block(x)
        return x


class RepVitBlock(nn.Module):
    """A depthwise convolution that contains its residual, squeeze-excite, and an MLP of the channels."""

    def __init__(self, config: RepVitBlockConfig) -> None:
        super().__init__()
        channels, squeezed = config.channels, config.squeezed
        self.mixer = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.squeeze = nn.Conv2d(channels, squeezed, 1) if squeezed else None
        self.excite = nn.Conv2d(squeezed, channels, 1) if squeezed else None
        self.up, self.down = nn.Conv2d(channels, 2 * channels, 1), nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        x = self.mixer(x)
        if self.squeeze is not None and self.excite is not None:
            means = x.mean(dim=(2, 3), keepdim=True)
            x = x * self.excite(F.relu(self.squeeze(means))).sigmoid()
        return x + self.down(F.gelu(self.up(x)))
