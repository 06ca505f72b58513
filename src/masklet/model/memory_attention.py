"""Features of this frame look at memories of others (reference-model §6.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.config import ModelConfig
from masklet.model.attention import RotaryAttention
from masklet.model.position_encoding import Rotation, axial_rotation, sine_table

POSITION_WEIGHT = 0.1  # how strongly the features' own places are added, as released


class MemoryAttention(nn.Module):
    """Pre-norm layers of self-attention, attention to memory tokens, and an MLP."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MemoryLayer(config) for _ in range(config.attention_layers))
        self.norm = nn.LayerNorm(config.channels)
        self.scores_at_once: int | None = None  # a processor takes objects, and these scores, in turn; None: together

    def forward(self, image: Tensor, memory: Tensor, places: Tensor, maps: int) -> Tensor:
        """Image (1 or B, C, h, w) as each of B objects sees it: `memory` (B, M, c) with its positions `places` alike.

        Memory tokens are so many `maps` of h·w tokens, in any order, then pointers. An image that objects share looks
        at itself once for all of them, until the first layer meets their memories.
        """
        channels, height, width = image.shape[1:]
        table = sine_table(height, width, channels, image)
        rotation = axial_rotation(height, channels, image)
        x = self._layers[0].look_around((image + POSITION_WEIGHT * table).flatten(2).mT, rotation)
        if self.scores_at_once is None:
            seen = self._recall(x, memory, places, rotation, maps)
        else:
            x, objects = x.expand(memory.shape[0], -1, -1), range(memory.shape[0])
            seen = torch.cat(
                [self._recall(x[k : k + 1], memory[k : k + 1], places[k : k + 1], rotation, maps) for k in objects]
            )
        return seen.mT.unflatten(2, (height, width))

    def _recall(self, x: Tensor, memory: Tensor, places: Tensor, rotation: Rotation, maps: int) -> Tensor:
        """Tokens that have looked around once → the same after all layers."""
        for index, layer in enumerate(self._layers):
            x = x if index == 0 else layer.look_around(x, rotation)
            x = layer.recall(x, memory, memory + places, rotation, maps, self.scores_at_once)
        return self.norm(x)

    @property
    def _layers(self) -> list[MemoryLayer]:
        return [layer for layer in self.layers if isinstance(layer, MemoryLayer)]


class MemoryLayer(nn.Module):
    """One layer, in two halves; positions of memories are in the keys only."""

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

    def look_around(self, x: Tensor, rotation: Rotation) -> Tensor:
        """Self-attention."""
        normed = self.norm1(x)
        return x + self.self_attention(normed, normed, normed, rotation)

    def recall(
        self, x: Tensor, memory: Tensor, keys: Tensor, rotation: Rotation, maps: int, scores_at_once: int | None
    ) -> Tensor:
        """Attention to memories, then the MLP."""
        x = x + self.to_memory(self.norm2(x), keys, memory, rotation, maps, scores_at_once)
        return x + self.down(F.relu(self.up(self.norm3(x))))
