"""Writes `Sam2.encode` as a graph: Hiera and the neck (reference-model §3).

Tokens are (maps, tokens, channels) throughout. In the first two stages every window lies within a tile that pooling
halves exactly, so a tile's tokens are kept in an order in which the four that are pooled are neighbours: no window is
cut out or put back until the third stage, and pooling is a maximum of neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from masklet.backend import Features
from masklet.config import ModelConfig
from masklet.onnx_graphs.builder import Graph
from masklet.onnx_graphs.position_tables import cubic

SCORES_AT_ONCE = 1 << 24  # of attention among all tokens: 64 MiB, however large the picture


def write_encode(graph: Graph, config: ModelConfig, size: int) -> None:
    """`images` (pictures, 3, size, size) → `stride4`, `stride8`, `stride16`."""
    features = encoded(graph, config, size, graph.input("images", ["pictures", 3, size, size], graph.precise))
    for stride, channels in ((4, config.channels // 8), (8, config.channels // 4), (16, config.channels)):
        name, side = f"stride{stride}", size // stride
        graph.output(name, getattr(features, name), ["pictures", channels, side, side])


def encoded(graph: Graph, config: ModelConfig, size: int, images: str) -> Features:
    """The features of `images` (B, 3, size, size), float32, each B C H W."""
    channels, coarse, half = config.channels, size // 16, size // 32
    tiles = Tiles(size // 4 // config.windows[0], config.windows[0] // 4, 2)
    first, second, third, fourth = _trunk(graph, config, tiles, images)
    level = graph.reshape(graph.linear(third, "neck.laterals.2"), -1, half, 2, half, 2, channels)
    deeper = graph.reshape(graph.linear(fourth, "neck.laterals.3"), -1, half, 1, half, 1, channels)
    both = graph.reshape(graph.add(level, deeper), -1, coarse, coarse, channels)  # each deep token for four
    stride4 = tiles.paste(graph, _lateral(graph, first, 0, "stride4"), channels // 8)
    stride8 = tiles.pooled.paste(graph, _lateral(graph, second, 1, "stride8"), channels // 4)
    return Features(*(graph.transpose(x, 0, 3, 1, 2) for x in (stride4, stride8, both)))


class Tiles(NamedTuple):
    """Tokens of `across`² tiles, each of side `core` · 2^`levels`, those that are pooled first lying closest."""

    across: int
    core: int
    levels: int

    @property
    def side(self) -> int:
        """Of the whole map."""
        return self.across * (self.core << self.levels)

    @property
    def pooled(self) -> Tiles:
        """The same after pooling."""
        return self._replace(levels=self.levels - 1)

    @property
    def _factors(self) -> list[int]:
        return [self.across, self.core, *[2] * self.levels]

    def cut(self, graph: Graph, x: str, channels: int) -> str:
        """B H W C → (B · tiles, tokens, C)."""
        count = len(self._factors)
        pairs = [axis for k in range(count) for axis in (1 + k, 1 + count + k)]
        shape = [-1, *self._factors, *self._factors, channels]
        return graph.rearrange(x, shape, [0, *pairs, 2 * count + 1], [-1, (self.side // self.across) ** 2, channels])

    def paste(self, graph: Graph, x: str, channels: int) -> str:
        """(B · tiles, tokens, C) → B H W C."""
        count = len(self._factors)
        shape = [-1, *(factor for factor in self._factors for _ in "yx"), channels]
        order = [0, *range(1, 2 * count, 2), *range(2, 2 * count + 1, 2), 2 * count + 1]
        return graph.rearrange(x, shape, order, [-1, self.side, self.side, channels])


class Block(NamedTuple):
    """What is needed to know of one of Hiera's blocks."""

    name: str
    out: int
    heads: int
    window: int  # 0: the whole map
    pools: bool  # halves the map, widens the channels


def _blocks(config: ModelConfig) -> Iterator[Block]:
    out, heads, index = config.width, config.heads, 0
    for stage, count in enumerate(config.stages):
        for position in range(count):
            opens = stage > 0 and position == 0
            out, heads = (2 * out, 2 * heads) if opens else (out, heads)
            window = config.windows[stage - 1 if opens else stage]  # the block that pools keeps the earlier window
            yield Block(f"trunk.blocks.{index}", out, heads, 0 if index in config.global_blocks else window, opens)
            index += 1


def _trunk(graph: Graph, config: ModelConfig, tiles: Tiles, images: str) -> list[str]:
    """Tokens at the end of each stage: of the first two in tiles, of the last two row by row."""
    side, ends = tiles.side, (np.cumsum(config.stages) - 1).tolist()
    x, outputs = tiles.cut(graph, _patches(graph, config, side, images), config.width), []
    for index, block in enumerate(_blocks(config)):
        in_tiles = index <= ends[1] + 1  # the block that opens the third stage is the last of them
        x = _tile_block(graph, x, block) if in_tiles else _block(graph, x, block, side)
        side = side // 2 if block.pools else side
        if index == ends[1] + 1:
            x = graph.reshape(tiles.pooled.pooled.paste(graph, x, block.out), -1, side * side, block.out)
        if index in ends:
            outputs.append(x)
    return outputs


def _patches(graph: Graph, config: ModelConfig, side: int, images: str) -> str:
    """The pictures' patches with their positions, B H W C."""
    x = graph.conv(graph.own(images), "trunk.patches", strides=[4, 4], pads=[3, 3, 3, 3])
    stretch = cubic(config.background, side)
    rows = graph.matmul(graph.constant(stretch), graph.weight("trunk.positions"))
    repeats = graph.constant(np.array([1, 1, side // config.windows[0], side // config.windows[0]]))
    repeated = graph.op("Tile", graph.weight("trunk.window_positions"), repeats)
    table = graph.add(graph.matmul(rows, graph.constant(stretch.T)), repeated)
    return graph.transpose(graph.add(x, table), 0, 2, 3, 1)


def _tile_block(graph: Graph, x: str, block: Block) -> str:
    """A block whose windows are the tiles themselves."""
    normed = graph.norm(x, f"{block.name}.norm1")
    shortcut = _pool(graph, graph.linear(normed, f"{block.name}.shortcut"), block) if block.pools else x
    return _rest(graph, shortcut, _attended(graph, normed, block), block)


def _block(graph: Graph, x: str, block: Block, side: int) -> str:
    """A block on maps of `side`² tokens, row by row."""
    normed = graph.norm(x, f"{block.name}.norm1")
    shortcut = x
    if block.pools:
        wide = graph.linear(normed, f"{block.name}.shortcut")
        fours = graph.reshape(wide, -1, side // 2, 2, side // 2, 2, block.out)
        shortcut = graph.reshape(graph.largest(fours, 2, 4), -1, side**2 // 4, block.out)
    whole = block.window == 0 or (block.window == side and not block.pools)
    attended = _attended(graph, normed, block, side**2) if whole else _windowed(graph, normed, block, side)
    return _rest(graph, shortcut, attended, block)


def _windowed(graph: Graph, x: str, block: Block, side: int) -> str:
    """Attention within windows; those that reach over the edge see tokens of zeros, as in the released networks."""
    width, levels = (block.out // 2, 1) if block.pools else (block.out, 0)
    windows = Tiles(-(-side // block.window), block.window // 2**levels, levels)
    x = graph.reshape(x, -1, side, side, width)
    if windows.side > side:
        over = windows.side - side
        x = graph.op("Pad", x, graph.constant(np.array([0, 0, 0, 0, 0, over, over, 0])))
    attended = _attended(graph, windows.cut(graph, x, width), block)
    after, kept = (windows.pooled, side // 2) if block.pools else (windows, side)
    pasted = after.paste(graph, attended, block.out)
    if after.side > kept:
        inside = [graph.constant(np.array(values)) for values in ([0, 0], [kept, kept], [1, 2])]
        pasted = graph.op("Slice", pasted, *inside)
    return graph.reshape(pasted, -1, kept * kept, block.out)


def _attended(graph: Graph, x: str, block: Block, tokens: int = 0) -> str:
    """What each token finds within its map; `tokens` is how many there are where that is a lot."""
    size = block.out // block.heads
    to_q, to_k, to_v = graph.array(f"{block.name}.attention.qkv.weight").reshape(3, block.out, -1)
    offset, _, _ = graph.array(f"{block.name}.attention.qkv.bias").reshape(3, block.out)
    q = graph.affine(x, to_q.T * size**-0.5, offset * size**-0.5, f"{block.name}.attention.q")
    q = _pool(graph, q, block) if block.pools else q
    k = graph.product(x, to_k.T, f"{block.name}.attention.k")  # the same offset for all keys changes no softmax
    v = graph.product(x, to_v.T, f"{block.name}.attention.v")  # and that of the values is left to `_rest`
    if block.heads == 1:
        return graph.attention(q, graph.transpose(k, 0, 2, 1), v)
    q, k, v = (graph.reshape(one, 0, -1, block.heads, size) for one in (q, k, v))
    q, k, v = graph.transpose(q, 0, 2, 1, 3), graph.transpose(k, 0, 2, 3, 1), graph.transpose(v, 0, 2, 1, 3)
    rows = max(1, SCORES_AT_ONCE // max(1, block.heads * tokens))
    attended = graph.attention(q, k, v, chunks=-(-tokens // rows) or 1)
    return graph.reshape(graph.transpose(attended, 0, 2, 1, 3), 0, -1, block.out)


def _rest(graph: Graph, x: str, attended: str, block: Block) -> str:
    """What was found and what is made of it, each added to what it was found for."""
    values = graph.array(f"{block.name}.attention.qkv.bias")[2 * block.out :]  # in every mean of values
    last, offset = (graph.array(f"{block.name}.attention.proj.{part}") for part in ("weight", "bias"))
    x = graph.add(x, graph.affine(attended, last.T, offset + last @ values, f"{block.name}.attention.proj"))
    hidden = graph.gelu(graph.linear(graph.norm(x, f"{block.name}.norm2"), f"{block.name}.mlp.up"))
    return graph.add(x, graph.linear(hidden, f"{block.name}.mlp.down"))


def _pool(graph: Graph, x: str, block: Block) -> str:
    """The largest of each four tokens that lie beside each other."""
    return graph.largest(graph.reshape(x, 0, -1, 4, block.out), 2)


def _lateral(graph: Graph, x: str, level: int, last: str) -> str:
    """Two layers as one: nothing else reads what lies between them at strides 4 and 8."""
    inner, outer = (graph.array(f"neck.{name}.weight")[..., 0, 0] for name in (f"laterals.{level}", last))
    offset = outer @ graph.array(f"neck.laterals.{level}.bias") + graph.array(f"neck.{last}.bias")
    return graph.affine(x, (outer @ inner).T, offset, f"neck.{last}")
