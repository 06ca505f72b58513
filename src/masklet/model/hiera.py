"""Hiera: the trunk that turns a picture into features at four strides (reference-model §3.1).

The first two stages attend only within small windows that pooling halves exactly, so they run tile by tile: a tile
is a little picture of its own, and no window is cut out or put back until the third stage. Tiles do not see each
other, so they can be taken a few at a time, which keeps them in a processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.config import ModelConfig
from masklet.model.attention import looked
from masklet.model.position_encoding import precise

EPSILON = 1e-6


class Hiera(nn.Module):
    """Picture B 3 H W → features at strides 4, 8, 16 and 32, each B C H W."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.tile = config.windows[0]
        self.patches = nn.Conv2d(3, config.width, kernel_size=7, stride=4, padding=3)
        self.positions = nn.Parameter(torch.zeros(1, config.width, config.background, config.background))
        self.window_positions = nn.Parameter(torch.zeros(1, config.width, self.tile, self.tile))
        self.blocks = nn.ModuleList(_blocks(config))
        self.stage_ends = [sum(config.stages[: stage + 1]) - 1 for stage in range(4)]
        self.tokens_at_once: int | None = None  # how many tokens run through the tile stages together; None: all

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = self.patches(image)
        across = x.shape[-1] // self.tile
        tiles = _cut((x + self._table(*x.shape[-2:])).permute(0, 2, 3, 1), self.tile)
        groups = (tiles,) if self.tokens_at_once is None else tiles.split(max(1, self.tokens_at_once // self.tile**2))
        parts = [self._tiles(group) for group in groups]
        first, second, x = (_paste(torch.cat(level), across) for level in zip(*parts, strict=True))
        outputs = []
        for index, block in enumerate(self.blocks[self._opening + 1 :], start=self._opening + 1):
            x = block(x)
            if index in self.stage_ends:
                outputs.append(x)
        first, second, third, fourth = (level.permute(0, 3, 1, 2) for level in (first, second, *outputs))
        return first, second, third, fourth

    @property
    def _opening(self) -> int:
        """The pooling block that opens the third stage: the last that runs tile by tile."""
        return self.stage_ends[1] + 1

    def _tiles(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tiles (n, side, side, C) after the first stage, the second, and the block that opens the third."""
        ends = []
        for index, block in enumerate(self.blocks[: self._opening + 1]):
            x = block(x)
            if index in (*self.stage_ends[:2], self._opening):
                ends.append(x)
        return ends[0], ends[1], ends[2]

    def _table(self, height: int, width: int) -> Tensor:
        """(1, C, H, W): the coarse table stretched over the picture plus the fine one repeated in every tile."""
        rows, columns = (_cubic(self.positions.shape[-1], side, self.positions) for side in (height, width))
        stretched = rows @ self.positions @ columns.mT
        return stretched + self.window_positions.repeat(1, 1, height // self.tile, width // self.tile)


class Block(nn.Module):
    """Attention and MLP on B H W C; a pooling block halves H and W and widens C (reference-model §3.1)."""

    def __init__(self, channels: int, out: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window  # 0: the whole map
        self.norm1 = nn.LayerNorm(channels, eps=EPSILON)
        self.attention = WindowAttention(channels, out, heads)
        self.norm2 = nn.LayerNorm(out, eps=EPSILON)
        self.mlp = nn.ModuleDict({"up": nn.Linear(out, 4 * out), "down": nn.Linear(4 * out, out)})
        self.shortcut = nn.Linear(channels, out) if channels != out else None

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x if self.shortcut is None else _pool(self.shortcut(normed))  # the normed tokens, not the raw ones
        x = x + self.attention(normed, self.window)
        return x + self.mlp["down"](F.gelu(self.mlp["up"](self.norm2(x))))


class WindowAttention(nn.Module):
    """Attention within square windows; where the width changes, the queries are pooled 2 × 2."""

    def __init__(self, channels: int, out: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.pooled = channels != out
        self.qkv = nn.Linear(channels, 3 * out)
        self.proj = nn.Linear(out, out)

    def forward(self, x: Tensor, window: int) -> Tensor:
        """B H W C → the same, or B H/2 W/2 C' where pooled. Windows that reach over the edge see padding whose
        keys and values are the biases alone, unmasked, as in the released networks."""
        height, width = x.shape[1:3]
        if not window or (height, width) == (window, window):
            attended = self._attend(self.qkv(x))
        else:
            attended = self._windowed(x, window)
        return self.proj(attended)

    def _windowed(self, x: Tensor, window: int) -> Tensor:
        height, width = x.shape[1:3]
        below, right = -height % window, -width % window
        if below or right:  # padding has no tokens of its own: add the bias after it
            qkv = F.pad(F.linear(x, self.qkv.weight), (0, 0, 0, right, 0, below)) + self.qkv.bias
        else:
            qkv = self.qkv(x)
        across = qkv.shape[2] // window
        attended = _paste(self._attend(_cut(qkv, window)), across)
        shrink = 2 if self.pooled else 1
        return attended[:, : height // shrink, : width // shrink]

    def _attend(self, qkv: Tensor) -> Tensor:
        """Attention among all tokens of each B H W map."""
        batch, height, width, _ = qkv.shape
        q, k, v = qkv.chunk(3, dim=-1)
        if self.pooled:
            q, height, width = _pool(q), height // 2, width // 2
        q, k, v = (t.flatten(1, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        attended = looked(q, k, v)
        return attended.transpose(1, 2).reshape(batch, height, width, -1)


def _blocks(config: ModelConfig) -> Iterator[Block]:
    channels, heads, index = config.width, config.heads, 0
    for stage, count in enumerate(config.stages):
        for position in range(count):
            opens = stage > 0 and position == 0
            out = 2 * channels if opens else channels
            heads = 2 * heads if opens else heads
            window = config.windows[stage - 1 if opens else stage]  # the block that pools keeps the earlier window
            yield Block(channels, out, heads, 0 if index in config.global_blocks else window)
            channels, index = out, index + 1


def _pool(x: Tensor) -> Tensor:
    """Largest of each 2 × 2 tokens, B H W C."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


def _cut(x: Tensor, side: int) -> Tensor:
    """B H W C → (B·tiles) side side C, tiles row by row."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // side, side, width // side, side, channels).transpose(2, 3)
    return x.reshape(-1, side, side, channels)


def _paste(tiles: Tensor, across: int) -> Tensor:
    """The inverse of `_cut`: (B·tiles) side side C → B H W C with `across` tiles in a row.

    Maps are square, except that padding makes neither side smaller: there are `across` rows of tiles as well.
    """
    _, side, _, channels = tiles.shape
    x = tiles.reshape(-1, across, across, side, side, channels).transpose(2, 3)
    return x.reshape(-1, across * side, across * side, channels)


def _cubic(source: int, target: int, like: Tensor) -> Tensor:
    """(target, source): bicubic stretching along one axis as a matrix (a = −0.75, pixel centres, edges clamped)."""
    dtype = precise(like.dtype)
    centres = (torch.arange(target, device=like.device, dtype=dtype) + 0.5) * source / target - 0.5
    first = centres.floor() - 1
    taps = torch.arange(4, device=like.device, dtype=dtype)
    weights = _cubic_weight((centres - first)[:, None] - taps)
    places = (first[:, None] + taps).clamp(0, source - 1).long()
    matrix = torch.zeros(target, source, device=like.device, dtype=dtype)
    return matrix.scatter_add(1, places, weights).to(like.dtype)


def _cubic_weight(distance: Tensor) -> Tensor:
    a, d = -0.75, distance.abs()
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))
