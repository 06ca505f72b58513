"""Graph `encode`: the trunk and the neck (reference-model §3). EfficientNet-Lite has a module of its own.

In Hiera, tokens are (maps, tokens, channels) throughout. In the first two stages every window lies within a tile that
pooling halves exactly. A tile's tokens are ordered so that the four tokens that are pooled together are neighbors:
windows are partitioned and unpartitioned only from the third stage on, and pooling is a maximum of neighbors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from masklet.backend import Features
from masklet.config import COARSEST_STRIDE, HIERA, PATCH_SIZE, STRIDE, STRIDES, BlockConfig, ModelConfig
from masklet.onnx_graphs.builder import GraphBuilder
from masklet.onnx_graphs.encode_lite import encode_with_lite
from masklet.position_tables import compute_cubic_matrix

MAX_ATTENTION_SCORES = 1 << 24  # of global attention at a time: 64 MiB at any input size


def write_encode(graph: GraphBuilder, config: ModelConfig, input_size: int) -> None:
    """Write `Sam2.encode`: `images` (B, 3, S, S) → `stride4`, `stride8`, `stride16`."""
    images = graph.input("images", ["pictures", 3, input_size, input_size], graph.precise_dtype)
    features = encode_images(graph, config, input_size, images)
    for stride, channels in zip(STRIDES, config.feature_channels, strict=True):
        name, side = f"stride{stride}", input_size // stride
        graph.output(name, getattr(features, name), ["pictures", channels, side, side])


def encode_images(graph: GraphBuilder, config: ModelConfig, input_size: int, images: str) -> Features:
    """Encode `images` (B, 3, S, S) float32 as features, each (B, C, h, w)."""
    if config.trunk != HIERA:
        return encode_with_lite(graph, config, input_size, images)
    fine, medium, channels = config.feature_channels
    coarse, half = input_size // STRIDE, input_size // COARSEST_STRIDE
    tiles = TileLayout(input_size // STRIDES[0] // config.windows[0], config.windows[0] // 4, 2)
    first, second, third, fourth = _encode_trunk(graph, config, tiles, images)
    level = graph.reshape(graph.linear(third, "neck.laterals.2"), -1, half, 2, half, 2, channels)
    deeper = graph.reshape(graph.linear(fourth, "neck.laterals.3"), -1, half, 1, half, 1, channels)
    both = graph.reshape(graph.add(level, deeper), -1, coarse, coarse, channels)  # nearest-neighbor upsampling
    stride4 = tiles.paste(graph, _project_lateral(graph, first, 0, "stride4"), fine)
    stride8 = tiles.pooled.paste(graph, _project_lateral(graph, second, 1, "stride8"), medium)
    return Features(*(graph.transpose(x, 0, 3, 1, 2) for x in (stride4, stride8, both)))


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


def _encode_trunk(graph: GraphBuilder, config: ModelConfig, tiles: TileLayout, images: str) -> list[str]:
    """Compute the tokens at the end of each stage, in tiles for the first two stages and row by row for the others."""
    side, ends = tiles.side, config.stage_ends
    x, outputs = tiles.cut(graph, _embed_patches(graph, config, side, images), config.width), []
    for index, block in enumerate(config.blocks):
        in_tiles = index <= ends[1] + 1  # up to the block that opens the third stage
        x = _write_tile_block(graph, x, block) if in_tiles else _write_block(graph, x, block, side)
        side = side // 2 if block.pools else side
        if index == ends[1] + 1:
            x = graph.reshape(tiles.pooled.pooled.paste(graph, x, block.out), -1, side * side, block.out)
        if index in ends:
            outputs.append(x)
    return outputs


def _embed_patches(graph: GraphBuilder, config: ModelConfig, side: int, images: str) -> str:
    """Embed patches and add the position embedding: (B, H, W, C)."""
    x = graph.conv(graph.to_graph_dtype(images), "trunk.patches", strides=[STRIDES[0]] * 2, pads=[PATCH_SIZE // 2] * 4)
    resize = compute_cubic_matrix(config.background, side)
    rows = graph.matmul(graph.constant(resize), graph.weight("trunk.positions"))
    repeats = graph.constant(np.array([1, 1, side // config.windows[0], side // config.windows[0]]))
    repeated = graph.op("Tile", graph.weight("trunk.window_positions"), repeats)
    table = graph.add(graph.matmul(rows, graph.constant(resize.T)), repeated)
    return graph.transpose(graph.add(x, table), 0, 2, 3, 1)


def _write_tile_block(graph: GraphBuilder, x: str, block: BlockConfig) -> str:
    """Write a block whose windows are the tiles."""
    normed = graph.layer_norm(x, f"{block.name}.norm1")
    shortcut = _pool(graph, graph.linear(normed, f"{block.name}.shortcut"), block) if block.pools else x
    return _finish_block(graph, shortcut, _attend(graph, normed, block), block)


def _write_block(graph: GraphBuilder, x: str, block: BlockConfig, side: int) -> str:
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


def _project_lateral(graph: GraphBuilder, x: str, level: int, last: str) -> str:
    """Apply two layers of the neck as one: no other layer reads the result of the first at strides 4 and 8."""
    inner, outer = (graph.array(f"neck.{name}.weight")[..., 0, 0] for name in (f"laterals.{level}", last))
    offset = outer @ graph.array(f"neck.laterals.{level}.bias") + graph.array(f"neck.{last}.bias")
    return graph.affine(x, (outer @ inner).T, offset, f"neck.{last}")
