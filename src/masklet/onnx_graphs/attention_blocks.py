"""Attention blocks of Hiera and of plain vision transformers in the graph `encode`.

Tokens are (maps, tokens, channels). In Hiera's first two stages every window lies within a tile that pooling halves
exactly. A tile's tokens are ordered so that the four tokens that are pooled together are neighbors: windows are
partitioned and unpartitioned only from the third stage on, and pooling is a maximum of neighbors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masklet.config import BlockConfig
from masklet.onnx_graphs.builder import GraphBuilder

MAX_ATTENTION_SCORES = 1 << 24  # of global attention at a time: 64 MiB at any input size


class TileLayout(NamedTuple):
    """Order of tokens in `across`² tiles of side `core` · 2^`levels`: tokens that are pooled first are neighbors."""

    across: int
    core: int
    levels: int

    @property
    def side(self) -> int:
        """Side of the whole map in tokens."""
        return self.across * (self.core << self.levels)

    @property
    def pooled(self) -> TileLayout:
        """The layout after pooling."""
        return self._replace(levels=self.levels - 1)

    @property
    def _factors(self) -> list[int]:
        return [self.across, self.core, *[2] * self.levels]

    def cut(self, graph: GraphBuilder, x: str, channels: int) -> str:
        """Cut a map (B, H, W, C) into tiles (B · tiles, tokens, C)."""
        count = len(self._factors)
        pairs = [axis for k in range(count) for axis in (1 + k, 1 + count + k)]
        shape = [-1, *self._factors, *self._factors, channels]
        return graph.rearrange(x, shape, [0, *pairs, 2 * count + 1], [-1, (self.side // self.across) ** 2, channels])

    def paste(self, graph: GraphBuilder, x: str, channels: int) -> str:
        """Join tiles (B · tiles, tokens, C) into a map (B, H, W, C)."""
        count = len(self._factors)
        shape = [-1, *(factor for factor in self._factors for _ in "yx"), channels]
        order = [0, *range(1, 2 * count, 2), *range(2, 2 * count + 1, 2), 2 * count + 1]
        return graph.rearrange(x, shape, order, [-1, self.side, self.side, channels])


def write_tile_block(graph: GraphBuilder, x: str, block: BlockConfig) -> str:
    """Write a block whose windows are the tiles."""
    normed = graph.layer_norm(x, f"{block.name}.norm1")
    shortcut = _pool(graph, graph.linear(normed, f"{block.name}.shortcut"), block) if block.pools else x
    return _finish_block(graph, shortcut, _attend(graph, normed, block), block)


def write_block(graph: GraphBuilder, x: str, block: BlockConfig, side: int) -> str:
    """Write a block on maps of `side`² tokens, row by row."""
    normed = graph.layer_norm(x, f"{block.name}.norm1")
    shortcut = x
    if block.pools:
        wide = graph.linear(normed, f"{block.name}.shortcut")
        fours = graph.reshape(wide, -1, side // 2, 2, side // 2, 2, block.out)
        shortcut = graph.reshape(graph.reduce_max(fours, 2, 4), -1, side**2 // 4, block.out)
    is_global = block.window == 0 or (block.window == side and not block.pools)
    if is_global:
        return _finish_block(graph, shortcut, _attend(graph, normed, block, side**2), block)
    return _finish_block(graph, shortcut, _attend_windows(graph, normed, block, side), block)


def _attend_windows(graph: GraphBuilder, x: str, block: BlockConfig, side: int) -> str:
    """Attend within windows. Windows that reach over the edge contain zeros, as in the released networks."""
    width, levels = (block.out // 2, 1) if block.pools else (block.out, 0)
    windows = TileLayout(-(-side // block.window), block.window // 2**levels, levels)
    x = graph.reshape(x, -1, side, side, width)
    if windows.side > side:
        padding = windows.side - side
        x = graph.op("Pad", x, graph.constant(np.array([0, 0, 0, 0, 0, padding, padding, 0])))
    attended = _attend(graph, windows.cut(graph, x, width), block)
    after, inside = (windows.pooled, side // 2) if block.pools else (windows, side)
    pasted = after.paste(graph, attended, block.out)
    if after.side > inside:
        bounds = [graph.constant(np.array(values)) for values in ([0, 0], [inside, inside], [1, 2])]
        pasted = graph.op("Slice", pasted, *bounds)
    return graph.reshape(pasted, -1, inside * inside, block.out)


def _attend(graph: GraphBuilder, x: str, block: BlockConfig, tokens: int = 0) -> str:
    """Attend among the tokens of each map. `tokens` is their number in global attention, which is done in chunks."""
    width = block.out // block.heads
    to_q, to_k, to_v = graph.array(f"{block.name}.attention.qkv.weight").reshape(3, block.out, -1)
    offset, _, _ = graph.array(f"{block.name}.attention.qkv.bias").reshape(3, block.out)
    q = graph.affine(x, to_q.T * width**-0.5, offset * width**-0.5, f"{block.name}.attention.q")
    q = _pool(graph, q, block) if block.pools else q
    k = graph.project(x, to_k.T, f"{block.name}.attention.k")  # the offset of the keys does not change the softmax
    v = graph.project(x, to_v.T, f"{block.name}.attention.v")  # `_finish_block` adds the offset of the values
    if block.heads == 1:
        return graph.attention(q, graph.transpose(k, 0, 2, 1), v)
    q, k, v = (graph.reshape(t, 0, -1, block.heads, width) for t in (q, k, v))
    q, k, v = graph.transpose(q, 0, 2, 1, 3), graph.transpose(k, 0, 2, 3, 1), graph.transpose(v, 0, 2, 1, 3)
    rows = max(1, MAX_ATTENTION_SCORES // max(1, block.heads * tokens))
    attended = graph.attention(q, k, v, chunks=-(-tokens // rows) or 1)
    return graph.reshape(graph.transpose(attended, 0, 2, 1, 3), 0, -1, block.out)


def _finish_block(graph: GraphBuilder, x: str, attended: str, block: BlockConfig) -> str:
    """Apply the output projection of the attention and the MLP, each with its residual."""
    values = graph.array(f"{block.name}.attention.qkv.bias")[2 * block.out :]  # part of every average of values
    last, offset = (graph.array(f"{block.name}.attention.proj.{part}") for part in ("weight", "bias"))
    x = graph.add(x, graph.affine(attended, last.T, offset + last @ values, f"{block.name}.attention.proj"))
    hidden = graph.gelu(graph.linear(graph.layer_norm(x, f"{block.name}.norm2"), f"{block.name}.mlp.up"))
    return graph.add(x, graph.linear(hidden, f"{block.name}.mlp.down"))


def _pool(graph: GraphBuilder, x: str, block: BlockConfig) -> str:
    """Max-pool each four neighboring tokens."""
    return graph.reduce_max(graph.reshape(x, 0, -1, 4, block.out), 2)
