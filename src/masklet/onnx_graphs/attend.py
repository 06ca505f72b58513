"""Graph `attend`: frame features attend to memories with rotary position encoding (reference-model §6.2, §6.3).

With a single head, the projections of the values and of the output are merged into one product, and memories are
averaged before it, at a quarter of the channels. Values that all objects share keep a batch of one.

With pooling (`ModelConfig.memory_pooling`), keys and values of several maps are averaged in cells of 2 × 2, those of a
single map in cells of 1 × 1, which leaves them unchanged: one graph serves any number of maps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.config import ATTENTION_NORM_EPS, POOLED_CELL, POSITION_WEIGHT, STRIDE, ModelConfig
from masklet.onnx_graphs.builder import GraphBuilder
from masklet.position_tables import (
    Table,
    compute_axial_angles,
    compute_latent_angles,
    compute_latent_positions,
    compute_sine_table,
    compute_wavelengths,
)

QUERIES_PER_CHUNK = 256  # limits the memory that attention scores take


def write_attend(graph: GraphBuilder, config: ModelConfig, input_size: int, *, scaled: bool = False) -> None:
    """Write `Sam2.attend`: features of one image or of N objects, and one or more memories per object → `attended`.

    With `scaled` the graph has two more inputs, the factors of the attention keys of maps and of pointers.
    """
    channels, side = config.channels, input_size // STRIDE
    x = graph.to_tokens(graph.input("stride16", ["pictures", channels, side, side]), channels, side)
    x = graph.add(x, graph.constant(POSITION_WEIGHT * compute_sine_table(side, side, channels)))
    memories, attention = _read_memories(graph, config, input_size), _RotaryAttention(graph, config, side)
    memories = memories._replace(scales=_read_scales(graph, config)) if scaled else memories
    for index in range(config.attention_layers):
        name = f"memory_attention.layers.{index}"
        normed = graph.layer_norm(x, f"{name}.norm1", ATTENTION_NORM_EPS)
        x = graph.add(x, attention.attend_self(f"{name}.self_attention", normed))
        normed = graph.layer_norm(x, f"{name}.norm2", ATTENTION_NORM_EPS)
        x = graph.add(x, attention.attend_memories(f"{name}.to_memory", normed, memories))
        normed = graph.layer_norm(x, f"{name}.norm3", ATTENTION_NORM_EPS)
        hidden = graph.op("Relu", graph.linear(normed, f"{name}.up"))
        x = graph.add(x, graph.linear(hidden, f"{name}.down"))
    x = graph.to_map(graph.layer_norm(x, "memory_attention.norm", ATTENTION_NORM_EPS), channels, side)
    graph.output("attended", x, ["objects", channels, side, side])


class _Memories(NamedTuple):
    tokens: str  # (N, M, c): values; all maps, pooled if the network pools them, then all pointers
    maps: str  # (N, T, tokens, c): keys of the maps before projection, with positions
    pointers: str  # (N, tokens, c): keys of the pointers before projection, with times
    scales: tuple[str, str] | None = None  # factors of the projected keys: (N, T, 1, 1) and (N, tokens, 1)
    pooling: _Pooling | None = None
    bias: str = ""  # (M,): added to the attention scores


def _read_memories(graph: GraphBuilder, config: ModelConfig, input_size: int) -> _Memories:
    width, channels = config.memory_channels, config.channels
    memories = graph.input("memories", ["objects", "memories", *config.memory_shape(input_size)])
    slots = graph.input("slots", ["objects", "memories"], "int64")
    pointers = graph.input("pointers", ["objects", "pointers", channels])
    times = graph.input("times", ["objects", "pointers"], graph.precise_dtype)
    pieces = channels // width  # a pointer is split into as many tokens, ordered by piece
    positions = _compute_positions(config, input_size // STRIDE)
    maps = graph.transpose(graph.reshape(memories, 0, 0, width, len(positions)), 0, 1, 3, 2)
    tokens = graph.concat(graph.split(pointers, pieces, axis=2), axis=1)
    slot = graph.op("Gather", graph.constant(graph.array("slots").reshape(-1, width)), slots)
    map_keys = graph.add(maps, graph.add(graph.unsqueeze(slot, 2), graph.constant(positions)))
    pointer_keys = tokens
    if config.pointer_times:
        frequencies = graph.constant(1 / compute_wavelengths(channels // 2), dtype=graph.precise_dtype)
        angles = graph.mul(graph.unsqueeze(times, 2), frequencies)
        encoding = graph.to_graph_dtype(graph.concat([graph.op("Sin", angles), graph.op("Cos", angles)], axis=2))
        pointer_keys = graph.add(tokens, graph.concat([graph.linear(encoding, "pointer_times")] * pieces, axis=1))
    pooling = _Pooling(graph, config, memories, input_size // STRIDE) if config.memory_pooling else None
    values = graph.reshape(pooling.average(maps, width) if pooling else maps, 0, -1, width)
    bias = pooling.write_bias(values, tokens) if pooling and not pooling.moves_keys else ""
    return _Memories(graph.concat([values, tokens], axis=1), map_keys, pointer_keys, pooling=pooling, bias=bias)


def _compute_positions(config: ModelConfig, side: int) -> Table:
    """Compute the position encodings (tokens, c) of the tokens of a memory."""
    if config.latent_grid:
        return compute_latent_positions(config.global_latents, config.latent_grid, config.memory_channels)
    return compute_sine_table(side, side, config.memory_channels)


def _read_scales(graph: GraphBuilder, config: ModelConfig) -> tuple[str, str]:
    maps = graph.input("map_scales", ["objects", "memories"])
    pointers = graph.input("pointer_scales", ["objects", "pointers"])
    tokens = graph.concat([pointers] * (config.channels // config.memory_channels), axis=1)
    return graph.unsqueeze(maps, 2, 3), graph.unsqueeze(tokens, 2)


class _Pooling:
    """Averages of cells of maps: of 2 × 2 tokens, or of a single token if there is one map."""

    def __init__(self, graph: GraphBuilder, config: ModelConfig, memories: str, side: int) -> None:
        """Create the pooling of the maps `memories` (N, T, c, side, side)."""
        self.graph = graph
        self.moves_keys = config.memory_pooling == 2  # the logarithm is added to the keys, not to the scores
        one = graph.constant(np.array([1]))
        has_several = graph.op("Greater", graph.shape(memories, 1), one)
        self._cell = graph.where(has_several, graph.constant(np.array([POOLED_CELL])), one)
        self._cells = graph.op("Div", graph.constant(np.array([side])), self._cell)  # in a row of a map
        many = graph.constant(np.array([math.log(POOLED_CELL**2)]))
        self.logarithm = graph.where(has_several, many, graph.constant(np.zeros(1)))  # of the tokens of a cell

    def average(self, x: str, channels: int) -> str:
        """Average the tokens (N, T, side², C) of each cell."""
        graph, copied = self.graph, self.graph.constant(np.array([0, 0]))
        sizes = [copied, self._cells, self._cell, self._cells, self._cell, graph.constant(np.array([channels]))]
        cells = graph.op("Reshape", x, graph.concat(sizes, axis=0))
        return graph.reduce_mean(cells, 3, 5)

    def write_bias(self, maps: str, pointers: str) -> str:
        """Write what is added to the scores of the tokens `maps` (N, M, c) and `pointers` (N, P, c): (M + P,)."""
        graph, zero = self.graph, self.graph.constant(np.zeros(1))
        parts = ((self.logarithm, maps), (zero, pointers))
        return graph.concat([graph.op("Expand", value, graph.shape(tokens, 1)) for value, tokens in parts], axis=0)


class _RotaryAttention:
    """Single-head attention whose queries and keys are rotated by their position."""

    def __init__(self, graph: GraphBuilder, config: ModelConfig, side: int) -> None:
        self.graph, self.channels = graph, config.channels
        angles = compute_axial_angles(side, self.channels)
        self._rotation = self._map_rotation = _write_rotation(graph, angles)
        if config.latent_grid:
            angles = compute_latent_angles(config.global_latents, config.latent_grid, self.channels)
            self._map_rotation = _write_rotation(graph, angles)
        self.chunks = max(1, side * side // QUERIES_PER_CHUNK)

    def attend_self(self, name: str, x: str) -> str:
        """Attend from the tokens to themselves."""
        keys = self._rotate(x, f"{name}.k", 1.0, self._rotation)
        return self._project_out(name, self._average(name, x, keys, x))

    def attend_memories(self, name: str, x: str, memories: _Memories) -> str:
        """Attend from the tokens to memories."""
        graph, pooling, scales = self.graph, memories.pooling, memories.scales
        maps = self._rotate(memories.maps, f"{name}.k", 1.0, self._map_rotation)
        maps = graph.mul(maps, scales[0]) if scales else maps
        maps = graph.reshape(pooling.average(maps, self.channels) if pooling else maps, 0, -1, self.channels)
        maps = graph.add(maps, pooling.logarithm) if pooling and pooling.moves_keys else maps
        pointers = graph.linear(memories.pointers, f"{name}.k")
        keys = graph.concat([maps, graph.mul(pointers, scales[1]) if scales else pointers], axis=1)
        return self._project_out(name, self._average(name, x, keys, memories.tokens, memories.bias))

    def _average(self, name: str, x: str, keys: str, values: str, bias: str = "") -> str:
        queries = self._rotate(x, f"{name}.q", self.channels**-0.5, self._rotation)
        return self.graph.attention(queries, self.graph.transpose(keys, 0, 2, 1), values, self.chunks, bias)

    def _project_out(self, name: str, averaged: str) -> str:
        """Apply the projections of values and output as one."""
        (to_v, v), (last, offset) = (self._layer(f"{name}.{layer}") for layer in ("v", "out"))
        return self.graph.affine(averaged, (last @ to_v).T, last @ v + offset, f"{name}.out")

    def _rotate(self, x: str, name: str, scale: float, rotation: tuple[str, str]) -> str:
        """Project tokens, and rotate the channel pairs (2c, 2c + 1) by the angle of each token.

        The rotation is the projection times the cosine, plus the projection rotated by 90° times the sine.
        """
        graph, (weight, bias), (cos, sin) = self.graph, self._layer(name), rotation
        projected = graph.affine(x, weight.T * scale, bias * scale, name)
        turned = graph.affine(x, _rotate_90(weight).T * scale, _rotate_90(bias) * scale, f"{name}.turned")
        return graph.add(graph.mul(projected, cos), graph.mul(turned, sin))

    def _layer(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.graph.array(f"{name}.weight"), self.graph.array(f"{name}.bias")


def _write_rotation(graph: GraphBuilder, angles: Table) -> tuple[str, str]:
    """Add the cosines and sines (tokens, C) of the angles (tokens, C / 2) of channel pairs as constants."""
    both = angles.repeat(2, axis=1)
    return graph.constant(np.cos(both)), graph.constant(np.sin(both))


def _rotate_90(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotate pairs of rows by 90°: (even, odd) → (−odd, even)."""
    rotated = np.empty_like(rows)
    rotated[0::2], rotated[1::2] = -rows[1::2], rows[0::2]
    return rotated
