"""Rotary position encoding (RoPE) of feature maps, and attention that uses it (reference-model §6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from masklet.model.attention import AttentionProjections, scaled_dot_product_attention
from masklet.model.position_encoding import load_table, promote_to_float32
from masklet.position_tables import compute_axial_angles

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


class RotaryAttention(AttentionProjections):
    """Single-head attention whose queries and keys are rotated by their position in the feature map."""

    def forward(
        self,
        queries: Float[Tensor, "#B N C"],
        keys: Float[Tensor, "B M c"],
        values: Float[Tensor, "B M c"],
        rotation: Rotation,
        maps: int = 1,
        scores_at_once: int | None = None,
        scales: Float[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "B N C"]:
        """Attend from the tokens of one feature map to those of `maps` feature maps and to object pointers.

        Values are projected after they are averaged. The result is the same, since attention weights add up to one,
        and costs less where there are more keys than queries.

        Args:
            queries: Tokens of the map; one set of queries may serve all B sets of keys.
            keys: The N tokens of each map, then pointers. Every map is rotated alike, pointers are not rotated.
            values: The values of the same tokens.
            rotation: Rotations of the N tokens of one map.
            maps: Number of feature maps in `keys`.
            scores_at_once: Limit of the attention scores that are in memory at a time. None: all.
            scales: Factors of the projected and rotated keys. None: 1.

        Returns:
            One token per query.
        """
        q, k = self.q(queries), self.k(keys)
        spatial, pointers = k.tensor_split((maps * q.shape[-2],), dim=-2)
        spatial = rotation.rotate(spatial.unflatten(-2, (maps, -1))).flatten(-3, -2)
        k = torch.cat((spatial, pointers), dim=-2)
        k = k if scales is None else k * scales[..., None]
        averaged = _attend(rotation.rotate(q), k, values, scores_at_once)
        return self.out(self.v(averaged))


def _attend(
    q: Float[Tensor, "#B N c"], k: Float[Tensor, "B M c"], v: Float[Tensor, "B M d"], scores_at_once: int | None
) -> Float[Tensor, "B N d"]:
    """Compute softmax(q kᵀ / √c) v."""
    if scores_at_once is None:
        q, k, v = q.expand(k.shape[0], -1, -1)[:, None], k[:, None], v[:, None]
        return scaled_dot_product_attention(q, k, v)[:, 0]
    scaled, rows = q * q.shape[-1] ** -0.5, max(1, scores_at_once // k.shape[-2])
    return torch.cat([(part @ k.mT).softmax(dim=-1) @ v for part in scaled.split(rows, dim=-2)], dim=-2)
