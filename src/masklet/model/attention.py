"""Attention between two sets of tokens, plain and with rotated positions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.model.position_encoding import Rotation


def looked(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ / √c) v of B heads N c by PyTorch's own attention, with a `mask` of the keys that count.

    Where autocast made bfloat16 of them on a processor, in float32: backwards PyTorch takes four times as long there.
    """
    if q.dtype != torch.bfloat16 or q.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    with torch.autocast("cpu", enabled=False):
        return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask).to(q.dtype)


class Attention(nn.Module):
    """Queries look at keys and bring home values (reference-model §5.1). Tokens are B N C."""

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
        return self.join(looked(q, k, v, mask))

    def split(self, x: Tensor) -> Tensor:
        """B N (heads c) → B heads N c."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def join(self, x: Tensor) -> Tensor:
        """B heads N c → B N C."""
        return self.out(x.transpose(1, 2).flatten(2))


class RotaryAttention(Attention):
    """One head whose queries and keys are turned by their place in the feature map (reference-model §6.2)."""

    def forward(  # type: ignore[override]
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        rotation: Rotation,
        maps: int = 1,
        scores_at_once: int | None = None,
    ) -> Tensor:
        """Attend with `rotation`, that of one map's tokens.

        Keys are so many `maps` after one another, each turned alike, and then tokens without a place (object
        pointers), which are not turned. Queries may be shared by a batch of keys. Values are
        projected after they are weighted, which is the same, since weights add up to one, and costs less where there
        are more keys than queries. `scores_at_once` bounds how many scores exist at a time; by default PyTorch's own
        attention decides.
        """
        q, k = self.q(queries), self.k(keys)
        placed, pointers = k.tensor_split((maps * q.shape[-2],), dim=-2)
        placed = rotation.turn(placed.unflatten(-2, (maps, -1))).flatten(-3, -2)
        weighted = _weighted(rotation.turn(q), torch.cat((placed, pointers), dim=-2), values, scores_at_once)
        return self.out(self.v(weighted))


def _weighted(q: Tensor, k: Tensor, v: Tensor, scores_at_once: int | None) -> Tensor:
    """softmax(q kᵀ / √c) v for B N c, B M c, B M d; the batch of q may be 1."""
    if scores_at_once is None:
        q, k, v = q.expand(k.shape[0], -1, -1)[:, None], k[:, None], v[:, None]
        return looked(q, k, v)[:, 0]
    scaled, rows = q * q.shape[-1] ** -0.5, max(1, scores_at_once // k.shape[-2])
    return torch.cat([(part @ k.mT).softmax(dim=-1) @ v for part in scaled.split(rows, dim=-2)], dim=-2)
