"""Attention between two sets of tokens, plain and with rotated positions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.model.position import Rotation


class Attention(nn.Module):
    """Queries look at keys and bring home values (spec §5.1). Tokens are B N C."""

    def __init__(self, channels: int, heads: int, inner: int | None = None, memory: int | None = None) -> None:
        """`inner` channels inside (default: `channels`); keys and values come with `memory` channels (likewise)."""
        super().__init__()
        inner, memory = inner or channels, memory or channels
        self.heads = heads
        self.q = nn.Linear(channels, inner)
        self.k = nn.Linear(memory, inner)
        self.v = nn.Linear(memory, inner)
        self.out = nn.Linear(inner, channels)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, present: Tensor | None = None) -> Tensor:
        """`present` (B, keys) bool leaves out the keys where it is false."""
        q, k, v = self.split(self.q(queries)), self.split(self.k(keys)), self.split(self.v(values))
        mask = None if present is None else present[:, None, None, :]
        return self.join(F.scaled_dot_product_attention(q, k, v, attn_mask=mask))

    def split(self, x: Tensor) -> Tensor:
        """B N (heads c) → B heads N c."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def join(self, x: Tensor) -> Tensor:
        """B heads N c → B N C."""
        return self.out(x.transpose(1, 2).flatten(2))


class RotaryAttention(Attention):
    """One head whose queries and keys are turned by their place in the feature map (spec §6.2).

    Keys may be several maps after one another, each with the same rotation, followed by tokens without a place
    (object pointers), which are not turned.
    """

    def rotated(
        self, queries: Tensor, keys: Tensor, values: Tensor, rotation: Rotation, present: Tensor | None = None
    ) -> Tensor:
        """Attend with `rotation` of one map's tokens; the last keys that fill no whole map are pointers."""
        q, k, v = self.split(self.q(queries)), self.split(self.k(keys)), self.split(self.v(values))
        maps = k.shape[-2] // q.shape[-2]
        placed, pointers = k.split((maps * q.shape[-2], k.shape[-2] - maps * q.shape[-2]), dim=-2)
        placed = rotation.turn(placed.unflatten(-2, (maps, -1))).flatten(-3, -2)
        mask = None if present is None else present[:, None, None, :]
        answer = F.scaled_dot_product_attention(
            rotation.turn(q), torch.cat((placed, pointers), dim=-2), v, attn_mask=mask
        )
        return self.join(answer)
