"""Rotary position encoding (RoPE) of feature maps, and attention that uses it (reference-model §6.2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from masklet.config import POOLED_CELL
from masklet.model.attention import AttentionProjections, scaled_dot_product_attention
from masklet.model.position_encoding import load_table, promote_to_float32
from masklet.position_tables import compute_axial_angles, compute_latent_angles

if TYPE_CHECKING:
    from jaxtyping import Float


class Rotation(NamedTuple):
    """Cosines and sines of the angles by which the channel pairs of tokens are rotated."""

    cos: Float[Tensor, "N pairs"]
    sin: Float[Tensor, "N pairs"]

    def rotate(self, x: Float[Tensor, "*batch N C"]) -> Float[Tensor, "*batch N C"]:
        """Rotate the channel pairs (2c, 2c + 1) of tokens in real arithmetic."""
        even, odd = x.to(self.cos.dtype).unflatten(-1, (-1, 2)).unbind(-1)
        rotated = torch.stack((even * self.cos - odd * self.sin, even * self.sin + odd * self.cos), dim=-1)
        return rotated.flatten(-2).to(x.dtype)


def compute_axial_rotation(side: int, channels: int, like: Tensor) -> Rotation:
    """Compute the rotations of the `side`² tokens of a feature map, row by row.

    The first half of the channel pairs rotates with x, the second half with y.

    Args:
        side: Height and width of the feature map in tokens.
        channels: Channels of the queries and keys, a multiple of 4.
        like: Tensor that gives the device and the dtype, which is promoted to at least float32.

    Returns:
        Cosines and sines (side², channels / 2).
    """
    angles = load_table(compute_axial_angles, (side, channels), promote_to_float32(like.dtype), like.device)
    return Rotation(angles.cos(), angles.sin())


def compute_latent_rotation(global_count: int, grid: int, channels: int, like: Tensor) -> Rotation:
    """Compute the rotations of latents: none of the global ones, those of a map of `grid`² tokens of the others.

    `like` gives the device and the dtype, which is promoted to at least float32.
    """
    sizes, dtype = (global_count, grid, channels), promote_to_float32(like.dtype)
    angles = load_table(compute_latent_angles, sizes, dtype, like.device)
    return Rotation(angles.cos(), angles.sin())


class Rotations(NamedTuple):
    """Rotations of the tokens of the queries' map, and of each map of keys."""

    queries: Rotation
    keys: Rotation


class RotaryAttention(AttentionProjections):
    """Single-head attention whose queries and keys are rotated by their position in the feature map."""

    def __init__(self, channels: int, memory: int | None = None, pooling: int = 0) -> None:
        """Create the projections.

        Args:
            channels: Channels of the queries, the projections and the output.
            memory: Channels of the keys and values before projection. Default: `channels`.
            pooling: Kind of pooling of the keys of several maps, as in `ModelConfig.memory_pooling`.
        """
        super().__init__(channels, memory=memory)
        self.pooling = pooling

    def forward(
        self,
        queries: Float[Tensor, "#B N C"],
        keys: Float[Tensor, "B M c"],
        values: Float[Tensor, "B M c"],
        rotations: Rotations,
        maps: int = 1,
        scores_at_once: int | None = None,
        scales: Float[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "B N C"]:
        """Attend from the tokens of one feature map to those of `maps` feature maps and to object pointers.

        Values are projected after they are averaged. The result is the same, since attention weights add up to one,
        and costs less where there are more keys than queries.

        Args:
            queries: Tokens of the map; one set of queries may serve all B sets of keys.
            keys: The tokens of each map, then pointers. Every map is rotated alike, pointers are not rotated.
            values: The values of the same tokens.
            rotations: Rotations of the N queries, and of the tokens of one map of keys.
            maps: Number of feature maps in `keys`. With pooling, the keys of several maps are averaged after they are
                rotated and scaled.
            scores_at_once: Limit of the attention scores that are in memory at a time. None: all.
            scales: Factors of the projected and rotated keys. None: 1.

        Returns:
            One token per query.
        """
        q, k = self.q(queries), self.k(keys)
        count = maps * len(rotations.keys.cos)  # of tokens that are no pointers
        spatial, pointers = k.tensor_split((count,), dim=-2)
        spatial = rotations.keys.rotate(spatial.unflatten(-2, (maps, -1))).flatten(-3, -2)
        k = torch.cat((spatial, pointers), dim=-2)
        k = k if scales is None else k * scales[..., None]
        bias = None
        if self.pooling and maps > 1:
            k, values = (_pool_maps(x, maps, count) for x in (k, values))
            is_pooled = torch.arange(k.shape[-2], device=k.device) < count // POOLED_CELL**2
            offset = is_pooled.to(k.dtype) * math.log(POOLED_CELL**2)  # a pooled key stands for four
            k, bias = (k, offset) if self.pooling == 1 else (k + offset[:, None], None)
        averaged = _attend(rotations.queries.rotate(q), k, values, scores_at_once, bias)
        return self.out(self.v(averaged))


def _pool_maps(x: Float[Tensor, "B M C"], maps: int, count: int) -> Float[Tensor, "B M2 C"]:
    """Average cells of 2 × 2 tokens of square maps. Tokens after the first `count`, the pointers, are unchanged."""
    spatial, pointers = x.tensor_split((count,), dim=-2)
    cells = math.isqrt(count // maps) // POOLED_CELL  # in a row of a map
    pooled = spatial.unflatten(-2, (maps, cells, POOLED_CELL, cells, POOLED_CELL)).mean(dim=(3, 5)).flatten(1, 3)
    return torch.cat((pooled, pointers), dim=-2)


def _attend(
    q: Float[Tensor, "#B N c"],
    k: Float[Tensor, "B M c"],
    v: Float[Tensor, "B M d"],
    scores_at_once: int | None,
    bias: Float[Tensor, " M"] | None,
) -> Float[Tensor, "B N d"]:
    """Compute softmax(q kᵀ / √c + bias) v."""
    if scores_at_once is None:
        q, k, v = q.expand(k.shape[0], -1, -1)[:, None], k[:, None], v[:, None]
        return scaled_dot_product_attention(q, k, v, None if bias is None else bias[None, None, None])[:, 0]
    scaled, rows = q * q.shape[-1] ** -0.5, max(1, scores_at_once // k.shape[-2])
    parts = (part @ k.mT for part in scaled.split(rows, dim=-2))
    scores = parts if bias is None else (part + bias for part in parts)
    return torch.cat([part.softmax(dim=-1) @ v for part in scores], dim=-2)
