"""Hiera, the trunk of the released networks: an image → features at four strides (reference-model §3.1).

The first two stages attend only within windows of at most 8 × 8 tokens that pooling halves exactly. They are computed
on tiles: each tile is treated as an image of its own, and windows are partitioned and unpartitioned only from the third
stage on. Tiles do not depend on each other, so a few at a time can be computed together, which keeps them in the cache
of a CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.config import LAYER_NORM_EPS, PATCH_SIZE, STRIDES, BlockConfig, ModelConfig
from masklet.model.attention import scaled_dot_product_attention
from masklet.model.position_encoding import load_table
from masklet.position_tables import compute_cubic_matrix

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

    from masklet.model.trunk import TrunkMaps


class Hiera(nn.Module):
    """Images → features at four strides."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.levels = config.levels
        self.tile_size = config.windows[0]
        self.patches = nn.Conv2d(3, config.width, PATCH_SIZE, stride=STRIDES[0], padding=PATCH_SIZE // 2)
        self.positions = nn.Parameter(torch.zeros(1, config.width, config.background, config.background))
        self.window_positions = nn.Parameter(torch.zeros(1, config.width, self.tile_size, self.tile_size))
        self.blocks = nn.ModuleList(HieraBlock(block) for block in config.blocks)
        self.stage_ends = config.stage_ends
        self.tokens_at_once: int | None = None  # limit of tokens in the tile stages at a time; None: all together

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> TrunkMaps:
        x = self.patches(image)
        across = x.shape[-1] // self.tile_size
        tiles = partition_windows((x + self._position_embedding(*x.shape[-2:])).permute(0, 2, 3, 1), self.tile_size)
        groups = (
            (tiles,) if self.tokens_at_once is None else tiles.split(max(1, self.tokens_at_once // self.tile_size**2))
        )
        parts = [self._run_tile_stages(group) for group in groups]
        first, second, x = (unpartition_windows(torch.cat(level), across) for level in zip(*parts, strict=True))
        outputs = []
        for index, block in enumerate(self.blocks[self._last_tile_block + 1 :], start=self._last_tile_block + 1):
            x = block(x)
            if index in self.stage_ends:
                outputs.append(x)
        first, second, third, fourth = (level.permute(0, 3, 1, 2) for level in (first, second, *outputs))
        return first, second, third, fourth

    @property
    def _last_tile_block(self) -> int:
        """Index of the last block that is computed on tiles: the pooling block that opens the third stage."""
        return self.stage_ends[1] + 1

    def _run_tile_stages(
        self, x: Float[Tensor, "n side side C"]
    ) -> tuple[Float[Tensor, "n s1 s1 C1"], Float[Tensor, "n s2 s2 C2"], Float[Tensor, "n s3 s3 C3"]]:
        """Compute tiles after the first stage, the second, and the last tile block."""
        ends = []
        for index, block in enumerate(self.blocks[: self._last_tile_block + 1]):
            x = block(x)
            if index in (*self.stage_ends[:2], self._last_tile_block):
                ends.append(x)
        return ends[0], ends[1], ends[2]

    def _position_embedding(self, height: int, width: int) -> Float[Tensor, "1 C {height} {width}"]:
        """Compute the position embedding: the resized coarse table plus the repeated window table."""
        coarse, dtype, device = self.positions.shape[-1], self.positions.dtype, self.positions.device
        rows, columns = (load_table(compute_cubic_matrix, (coarse, side), dtype, device) for side in (height, width))
        stretched = rows @ self.positions @ columns.mT
        return stretched + self.window_positions.repeat(1, 1, height // self.tile_size, width // self.tile_size)


class HieraBlock(nn.Module):
    """Attention and MLP; a pooling block halves H and W and doubles C (reference-model §3.1)."""

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        channels, out = config.channels, config.out
        self.window = config.window  # 0: global attention
        self.norm1 = nn.LayerNorm(channels, eps=LAYER_NORM_EPS)
        self.attention = WindowAttention(channels, out, config.heads)
        self.norm2 = nn.LayerNorm(out, eps=LAYER_NORM_EPS)
        self.mlp = nn.ModuleDict({"up": nn.Linear(out, 4 * out), "down": nn.Linear(4 * out, out)})
        self.shortcut = nn.Linear(channels, out) if config.pools else None

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H2 W2 C2"]:
        normed = self.norm1(x)
        x = x if self.shortcut is None else _pool(self.shortcut(normed))  # of the normed tokens, as released
        x = x + self.attention(normed, self.window)
        return x + self.mlp["down"](F.gelu(self.mlp["up"](self.norm2(x))))


class WindowAttention(nn.Module):
    """Attention within square windows. Where the number of channels changes, queries are max-pooled 2 × 2."""

    def __init__(self, channels: int, out: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.pooled = channels != out
        self.qkv = nn.Linear(channels, 3 * out)
        self.proj = nn.Linear(out, out)

    def forward(self, x: Float[Tensor, "B H W C"], window: int) -> Float[Tensor, "B H2 W2 C2"]:
        """Attend within windows of `window`² tokens; 0 is global attention.

        Windows that reach over the edge contain padding tokens whose keys and values are the biases alone. They are not
        masked, as in the released networks.

        Returns:
            Tokens, of half the height and width with pooling.
        """
        height, width = x.shape[1:3]
        if not window or (height, width) == (window, window):
            attended = self._attend(self.qkv(x))
        else:
            attended = self._attend_windows(x, window)
        return self.proj(attended)

    def _attend_windows(self, x: Float[Tensor, "B H W C"], window: int) -> Float[Tensor, "B H2 W2 C2"]:
        height, width = x.shape[1:3]
        below, right = -height % window, -width % window
        if below or right:  # pad before the bias is added: padding tokens are the bias alone
            qkv = F.pad(F.linear(x, self.qkv.weight), (0, 0, 0, right, 0, below)) + self.qkv.bias
        else:
            qkv = self.qkv(x)
        across = qkv.shape[2] // window
        attended = unpartition_windows(self._attend(partition_windows(qkv, window)), across)
        shrink = 2 if self.pooled else 1
        return attended[:, : height // shrink, : width // shrink]

    def _attend(self, qkv: Float[Tensor, "B H W C3"]) -> Float[Tensor, "B H2 W2 C3//3"]:
        """Attend among all tokens of each map."""
        batch, height, width, _ = qkv.shape
        q, k, v = qkv.chunk(3, dim=-1)
        if self.pooled:
            q, height, width = _pool(q), height // 2, width // 2
        q, k, v = (t.flatten(1, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        attended = scaled_dot_product_attention(q, k, v)
        return attended.transpose(1, 2).reshape(batch, height, width, -1)


def _pool(x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H//2 W//2 C"]:
    """Max-pool each 2 × 2 tokens."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


def partition_windows(x: Shaped[Tensor, "B H W C"], side: int) -> Shaped[Tensor, "B*H*W//{side}**2 {side} {side} C"]:
    """Cut maps into windows, row by row. `side` divides H and W."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // side, side, width // side, side, channels).transpose(2, 3)
    return x.reshape(-1, side, side, channels)


def unpartition_windows(
    windows: Shaped[Tensor, "n side side C"], across: int
) -> Shaped[Tensor, "n//{across}**2 {across}*side {across}*side C"]:
    """Join windows into square maps with `across` windows in a row.

    This is the inverse of `partition_windows`. Padding makes both sides of a map the same multiple of the window, so
    there are `across` rows of windows as well.
    """
    _, side, _, channels = windows.shape
    x = windows.reshape(-1, across, across, side, side, channels).transpose(2, 3)
    return x.reshape(-1, across * side, across * side, channels)
