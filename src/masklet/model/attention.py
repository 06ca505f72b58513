"""Multi-head attention between two sets of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


def scaled_dot_product_attention(
    q: Float[Tensor, "B heads N c"],
    k: Float[Tensor, "B heads M c"],
    v: Float[Tensor, "B heads M d"],
    mask: Bool[Tensor, "#B #heads #N #M"] | Float[Tensor, "#B #heads #N #M"] | None = None,
) -> Float[Tensor, "B heads N d"]:
    """Compute softmax(q kᵀ / √c) v with PyTorch's own attention.

    Under autocast to bfloat16 on a CPU the product is computed in float32: PyTorch's backward pass in bfloat16 takes
    four times as long there.

    Args:
        q: Queries.
        k: Keys.
        v: Values.
        mask: True where a key counts, or numbers that are added to the scores.

    Returns:
        Averaged values, of the dtype of `q`.
    """
    if q.dtype != torch.bfloat16 or q.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    mask = mask.float() if mask is not None and mask.is_floating_point() else mask
    with torch.autocast("cpu", enabled=False):
        return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask).to(q.dtype)


class AttentionProjections(nn.Module):
    """The projections of an attention layer: queries, keys, values and output."""

    def __init__(self, channels: int, inner: int | None = None, memory: int | None = None) -> None:
        """Create the projections.

        Args:
            channels: Channels of the queries and of the output.
            inner: Channels of the projected queries, keys and values. Default: `channels`.
            memory: Channels of the keys and values before projection. Default: `channels`.
        """
        super().__init__()
        inner, memory = inner or channels, memory or channels
        self.q = nn.Linear(channels, inner)
        self.k = nn.Linear(memory, inner)
        self.v = nn.Linear(memory, inner)
        self.out = nn.Linear(inner, channels)


class Attention(AttentionProjections):
    """Multi-head attention with an optional inner width (reference-model §5.1)."""

    def __init__(self, channels: int, heads: int, inner: int | None = None) -> None:
        super().__init__(channels, inner)
        self.heads = heads

    def forward(
        self,
        queries: Float[Tensor, "B N C"],
        keys: Float[Tensor, "B M C"],
        values: Float[Tensor, "B M C"],
        present: Bool[Tensor, "B M"] | None = None,
    ) -> Float[Tensor, "B N C"]:
        """Attend from `queries` to `keys` and `values`.

        Args:
            queries: Tokens that attend.
            keys: Tokens that are attended to.
            values: Tokens that are averaged.
            present: False for keys to leave out.

        Returns:
            One token per query.
        """
        q, k, v = (self.split_heads(x) for x in (self.q(queries), self.k(keys), self.v(values)))
        mask = None if present is None else present[:, None, None, :]
        return self.out(self.merge_heads(scaled_dot_product_attention(q, k, v, mask)))

    def split_heads(self, x: Float[Tensor, "B N C"]) -> Float[Tensor, "B heads N c"]:
        """Split the channels by head."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def merge_heads(self, x: Float[Tensor, "B heads N c"]) -> Float[Tensor, "B N heads*c"]:
        """Merge the channels of all heads."""
        return x.transpose(1, 2).flatten(2)
