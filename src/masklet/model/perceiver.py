"""EdgeTAM's perceiver: the map of a memory → a few latents, which are stored in its place.

Two sets of learned latents pass the same layers. The global latents attend to the whole map. Each patch latent attends
to its window of the map alone; the windows are a grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.config import ATTENTION_NORM_EPS, PERCEIVER_LAYERS, ModelConfig
from masklet.model.attention import scaled_dot_product_attention
from masklet.model.hiera import partition_windows
from masklet.model.position_encoding import compute_sine_encoding

if TYPE_CHECKING:
    from jaxtyping import Float


class Perceiver(nn.Module):
    """Memory maps → rows of global latents, then rows of patch latents."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.memory_channels
        self.grid = config.latent_grid
        self.latents = nn.Parameter(torch.zeros(config.global_latents, channels))
        self.patch_latents = nn.Parameter(torch.zeros(self.grid**2, channels))
        self.layers = nn.ModuleList(PerceiverLayer(channels) for _ in range(PERCEIVER_LAYERS))
        self.norm = nn.LayerNorm(channels, ATTENTION_NORM_EPS)

    def forward(self, memory: Float[Tensor, "B c h w"]) -> Float[Tensor, "B c rows columns"]:
        """Compute the latents of maps.

        Args:
            memory: Maps whose sides are multiples of the grid's.

        Returns:
            Rows of `config.latent_grid` global latents, then the grid of patch latents.
        """
        batch, channels, height, width = memory.shape
        positions = compute_sine_encoding(height, width, channels, memory).flatten(1).mT
        global_latents = self._run(self.latents.expand(batch, -1, -1), memory.flatten(2).mT, positions)
        windows = partition_windows(memory.permute(0, 2, 3, 1), height // self.grid).flatten(1, 2)
        queries = self.patch_latents.expand(batch, -1, -1).reshape(-1, 1, channels)
        patch_latents = self._run(queries, windows).reshape(batch, -1, channels)
        return torch.cat((global_latents, patch_latents), dim=1).mT.unflatten(2, (-1, self.grid))

    def _run(
        self,
        latents: Float[Tensor, "B N c"],
        context: Float[Tensor, "B M c"],
        positions: Float[Tensor, "M c"] | None = None,
    ) -> Float[Tensor, "B N c"]:
        for layer in self.layers:
            latents = layer(latents, context, positions)
        return self.norm(latents)


class PerceiverLayer(nn.Module):
    """Attention to the map, an MLP, self-attention, and another MLP, each with its residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, ATTENTION_NORM_EPS)
        self.norm_context = nn.LayerNorm(channels, ATTENTION_NORM_EPS)
        self.to_context = LatentAttention(channels)
        self.mlp1 = LatentMLP(channels)
        self.norm2 = nn.LayerNorm(channels, ATTENTION_NORM_EPS)
        self.self_attention = LatentAttention(channels)
        self.mlp2 = LatentMLP(channels)

    def forward(
        self,
        latents: Float[Tensor, "B N c"],
        context: Float[Tensor, "B M c"],
        positions: Float[Tensor, "M c"] | None = None,
    ) -> Float[Tensor, "B N c"]:
        """Update latents. Positions enter the projected keys and values of the map."""
        latents = latents + self.to_context(self.norm1(latents), self.norm_context(context), positions)
        latents = latents + self.mlp1(latents)
        normed = self.norm2(latents)
        latents = latents + self.self_attention(normed, normed)
        return latents + self.mlp2(latents)


class LatentAttention(nn.Module):
    """Attention with one head and without biases."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.q = nn.Linear(channels, channels, bias=False)
        self.kv = nn.Linear(channels, 2 * channels, bias=False)  # keys, then values
        self.out = nn.Linear(channels, channels, bias=False)

    def forward(
        self,
        queries: Float[Tensor, "B N c"],
        context: Float[Tensor, "B M c"],
        positions: Float[Tensor, "M c"] | None = None,
    ) -> Float[Tensor, "B N c"]:
        """Attend from `queries` to `context`."""
        q, (k, v) = self.q(queries), self.kv(context).chunk(2, dim=-1)
        if positions is not None:
            k, v = k + positions, v + positions
        return self.out(scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0])


class LatentMLP(nn.Module):
    """A norm and two layers without biases."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, ATTENTION_NORM_EPS)
        self.up = nn.Linear(channels, 4 * channels, bias=False)
        self.down = nn.Linear(4 * channels, channels, bias=False)

    def forward(self, x: Float[Tensor, "B N c"]) -> Float[Tensor, "B N c"]:
        return self.down(F.gelu(self.up(self.norm(x))))
