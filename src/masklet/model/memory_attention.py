"""Features of this frame look at memories of others (spec §6.2)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from masklet.config import ModelConfig
from masklet.model.attention import RotaryAttention
from masklet.model.position import Rotation, axial_rotation, sine_table

POSITION_WEIGHT = 0.1  # how strongly the features' own places are added, as released


class MemoryAttention(nn.Module):
    """Pre-norm layers of self-attention, attention to memory tokens, and an MLP."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MemoryLayer(config) for _ in range(config.attention_layers))
        self.norm = nn.LayerNorm(config.channels)

    def forward(self, image: Tensor, memory: Tensor, places: Tensor, present: Tensor | None = None) -> Tensor:
        """Image (B, C, h, w) → the same, having looked at `memory` (B, M, c) with its positions `places` (B, M, c).

        Memory tokens are whole maps of h·w tokens, oldest first or in any order, then pointers. Tokens where
        `present` (B, M) is false do not count.
        """
        channels, height, width = image.shape[1:]
        table = sine_table(height, width, channels, image)
        rotation = axial_rotation(height, channels, image)
        x = (image + POSITION_WEIGHT * table).flatten(2).mT
        for layer in self.layers:
            x = layer(x, memory, memory + places, rotation, present)
        return self.norm(x).mT.unflatten(2, (height, width))


class MemoryLayer(nn.Module):
    """One layer: positions of memories are in the keys only."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.channels
        self.norm1 = nn.LayerNorm(channels)
        self.self_attention = RotaryAttention(channels, heads=1)
        self.norm2 = nn.LayerNorm(channels)
        self.to_memory = RotaryAttention(channels, heads=1, memory=config.memory_channels)
        self.norm3 = nn.LayerNorm(channels)
        self.up = nn.Linear(channels, config.attention_hidden)
        self.down = nn.Linear(config.attention_hidden, channels)

    def forward(self, x: Tensor, memory: Tensor, keys: Tensor, rotation: Rotation, present: Tensor | None) -> Tensor:
        normed = self.norm1(x)
        x = x + self.self_attention.rotated(normed, normed, normed, rotation)
        x = x + self.to_memory.rotated(self.norm2(x), keys, memory, rotation, present)
        return x + self.down(F.relu(self.up(self.norm3(x))))
