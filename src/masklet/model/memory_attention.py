"""Memory attention: frame features attend to the memories of other frames (reference-model §6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.config import ATTENTION_NORM_EPS, POSITION_WEIGHT, ModelConfig
from masklet.model.position_encoding import compute_sine_encoding
from masklet.model.rope import (
    RotaryAttention,
    Rotation,
    Rotations,
    compute_axial_rotation,
    compute_latent_rotation,
)

if TYPE_CHECKING:
    from jaxtyping import Float


class MemoryTokens(NamedTuple):
    """The memories of B objects as M tokens each: maps of h · w tokens, in any order, then object pointers."""

    keys: Float[Tensor, "B M c"]  # with position encodings
    values: Float[Tensor, "B M c"]
    maps: int  # number of maps per object
    scales: Float[Tensor, "B M"] | None = None  # factors of the projected keys; None: 1

    def of(self, index: int) -> MemoryTokens:
        """Return the tokens of one object, B = 1."""
        rows = slice(index, index + 1)
        scales = None if self.scales is None else self.scales[rows]
        return MemoryTokens(self.keys[rows], self.values[rows], self.maps, scales)


class MemoryAttention(nn.Module):
    """Pre-norm layers of self-attention, attention to memory tokens, and an MLP."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MemoryAttentionLayer(config) for _ in range(config.attention_layers))
        self.norm = nn.LayerNorm(config.channels, ATTENTION_NORM_EPS)
        self.latents = (config.global_latents, config.latent_grid) if config.latent_grid else None
        self.scores_at_once: int | None = None  # limit of scores in memory, with objects in turn; None: all together

    def forward(self, image: Float[Tensor, "#B C h w"], memories: MemoryTokens) -> Float[Tensor, "B C h w"]:
        """Attend from the features of a frame to the memories of each of B objects.

        An image that all objects share passes the first self-attention once for all of them.

        Args:
            image: Features of one image, or of B.
            memories: The tokens of all memories of each object.

        Returns:
            Features of each object.
        """
        channels, height, width = image.shape[1:]
        encoding = compute_sine_encoding(height, width, channels, image)
        rotation = compute_axial_rotation(height, channels, image)
        rotations = Rotations(
            rotation, rotation if self.latents is None else compute_latent_rotation(*self.latents, channels, image)
        )
        x = self._layers[0].attend_self((image + POSITION_WEIGHT * encoding).flatten(2).mT, rotation)
        if self.scores_at_once is None:
            attended = self._attend(x, memories, rotations)
        else:
            x, objects = x.expand(len(memories.values), -1, -1), range(len(memories.values))
            attended = torch.cat([self._attend(x[k : k + 1], memories.of(k), rotations) for k in objects])
        return attended.mT.unflatten(2, (height, width))

    def _attend(
        self, x: Float[Tensor, "#B N C"], memories: MemoryTokens, rotations: Rotations
    ) -> Float[Tensor, "B N C"]:
        """Run all layers on tokens that have passed the first self-attention."""
        for index, layer in enumerate(self._layers):
            x = x if index == 0 else layer.attend_self(x, rotations.queries)
            x = layer.attend_memories(x, memories, rotations, self.scores_at_once)
        return self.norm(x)

    @property
    def _layers(self) -> list[MemoryAttentionLayer]:
        return [layer for layer in self.layers if isinstance(layer, MemoryAttentionLayer)]


class MemoryAttentionLayer(nn.Module):
    """One layer in two halves. Positions of memories enter the keys only."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.channels
        self.norm1 = nn.LayerNorm(channels, ATTENTION_NORM_EPS)
        self.self_attention = RotaryAttention(channels)
        self.norm2 = nn.LayerNorm(channels, ATTENTION_NORM_EPS)
        self.to_memory = RotaryAttention(channels, config.memory_channels, config.memory_pooling)
        self.norm3 = nn.LayerNorm(channels, ATTENTION_NORM_EPS)
        self.up = nn.Linear(channels, config.attention_hidden)
        self.down = nn.Linear(config.attention_hidden, channels)

    def attend_self(self, x: Float[Tensor, "B N C"], rotation: Rotation) -> Float[Tensor, "B N C"]:
        """Apply self-attention with its residual."""
        normed = self.norm1(x)
        return x + self.self_attention(normed, normed, normed, Rotations(rotation, rotation))

    def attend_memories(
        self, x: Float[Tensor, "#B N C"], memories: MemoryTokens, rotations: Rotations, scores_at_once: int | None
    ) -> Float[Tensor, "B N C"]:
        """Apply attention to memories and the MLP, each with its residual."""
        keys, values, maps, scales = memories
        x = x + self.to_memory(self.norm2(x), keys, values, rotations, maps, scores_at_once, scales)
        return x + self.down(F.relu(self.up(self.norm3(x))))
