"""Graph `attend`: frame features attend to memories with rotary position encoding (reference-model §6.2, §6.3).

With a single head, the projections of the values and of the output are merged into one product, and memories are
averaged before it, at a quarter of the channels. Values that all objects share keep a batch of one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.config import ATTENTION_NORM_EPS, POSITION_WEIGHT, STRIDE, ModelConfig
from masklet.onnx_graphs.builder import GraphBuilder
from masklet.position_tables import compute_axial_angles, compute_sine_table, compute_wavelengths

QUERIES_PER_CHUNK = 256  # limits the memory that attention scores take


def write_attend(graph: GraphBuilder, config: ModelConfig, input_size: int, *, scaled: bool = False) -> None:
    """Write `Sam2.attend`: features of one image or of N objects, and one or more memories per object → `attended`.

    With `scaled` the graph has two more inputs, the factors of the attention keys of maps and of pointers.
    """
    channels, side = config.channels, input_size // STRIDE
    x = graph.to_tokens(graph.input("stride16", ["pictures", channels, side, side]), channels, side)
    x = graph.add(x, graph.constant(POSITION_WEIGHT * compute_sine_table(side, side, channels)))
    memories, attention = _read_memories(graph, config, side), _RotaryAttention(graph, side, channels)
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
    tokens: str  # (N, M, c): values; all maps, then all pointers
    maps: str  # (N, T, pixels, c): keys of the maps before projection, with positions
    pointers: str  # (N, tokens, c): keys of the pointers before projection, with times
    scales: tuple[str, str] | None = None  # factors of the projected keys: (N, T, 1, 1) and (N, tokens, 1)


def _read_memories(graph: GraphBuilder, config: ModelConfig, side: int) -> _Memories:
    width, channels = config.memory_channels, config.channels
    memories = graph.input("memories", ["objects", "memories", width, side, side])
    slots = graph.input("slots", ["objects", "memories"], "int64")
    pointers = graph.input("pointers", ["objects", "pointers", channels])
    times = graph.input("times", ["objects", "pointers"], graph.precise_dtype)
    pieces = channels // width  # a pointer is split into as many tokens, ordered by piece
    maps = graph.transpose(graph.reshape(memories, 0, 0, width, side * side), 0, 1, 3, 2)
    tokens = graph.concat(graph.split(pointers, pieces, axis=2), axis=1)
    slot = graph.op("Gather", graph.constant(graph.array("slots").reshape(-1, width)), slots)
    position = graph.add(graph.unsqueeze(slot, 2), graph.constant(compute_sine_table(side, side, width)))
    map_keys = graph.add(maps, position)
    pointer_keys = tokens
    if config.pointer_times:
        frequencies = graph.constant(1 / compute_wavelengths(channels // 2), dtype=graph.precise_dtype)
        angles = graph.mul(graph.unsqueeze(times, 2), frequencies)
        encoding = graph.to_graph_dtype(graph.concat([graph.op("Sin", angles), graph.op("Cos", angles)], axis=2))
        pointer_keys = graph.add(tokens, graph.concat([graph.linear(encoding, "pointer_times")] * pieces, axis=1))
    return _Memories(graph.concat([graph.reshape(maps, 0, -1, width), tokens], axis=1), map_keys, pointer_keys)


def _read_scales(graph: GraphBuilder, config: ModelConfig) -> tuple[str, str]:
    maps = graph.input("map_scales", ["objects", "memories"])
    pointers = graph.input("pointer_scales", ["objects", "pointers"])
    tokens = graph.concat([pointers] * (config.channels // config.memory_channels), axis=1)
    return graph.unsqueeze(maps, 2, 3), graph.unsqueeze(tokens, 2)


class _RotaryAttention:
    """Single-head attention whose queries and keys are rotated by their position."""

    def __init__(self, graph: GraphBuilder, side: int, channels: int) -> None:
        self.graph, self.channels = graph, channels
        angles = compute_axial_angles(side, channels).repeat(2, axis=1)
        self.cos, self.sin = graph.constant(np.cos(angles)), graph.constant(np.sin(angles))
        self.chunks = max(1, side * side // QUERIES_PER_CHUNK)

    def attend_self(self, name: str, x: str) -> str:
        """Attend from the tokens to themselves."""
        keys = self._rotate(x, f"{name}.k", 1.0)
        return self._project_out(name, self._average(name, x, keys, x))

    def attend_memories(self, name: str, x: str, memories: _Memories) -> str:
        """Attend from the tokens to memories."""
        maps, scales = self._rotate(memories.maps, f"{name}.k", 1.0), memories.scales
        maps = self.graph.reshape(self.graph.mul(maps, scales[0]) if scales else maps, 0, -1, self.channels)
        pointers = self.graph.linear(memories.pointers, f"{name}.k")
        keys = self.graph.concat([maps, self.graph.mul(pointers, scales[1]) if scales else pointers], axis=1)
        return self._project_out(name, self._average(name, x, keys, memories.tokens))

    def _average(self, name: str, x: str, keys: str, values: str) -> str:
        queries = self._rotate(x, f"{name}.q", self.channels**-0.5)
        return self.graph.attention(queries, self.graph.transpose(keys, 0, 2, 1), values, self.chunks)

    def _project_out(self, name: str, averaged: str) -> str:
        """Apply the projections of values and output as one."""
        (to_v, v), (last, offset) = (self._layer(f"{name}.{layer}") for layer in ("v", "out"))
        return self.graph.affine(averaged, (last @ to_v).T, last @ v + offset, f"{name}.out")

    def _rotate(self, x: str, name: str, scale: float) -> str:
        """Project tokens, and rotate the channel pairs (2c, 2c + 1) by the angle of each token.

        The rotation is the projection times the cosine, plus the projection rotated by 90° times the sine.
        """
        graph, (weight, bias) = self.graph, self._layer(name)
        projected = graph.affine(x, weight.T * scale, bias * scale, name)
        rotated = graph.affine(x, _rotate_90(weight).T * scale, _rotate_90(bias) * scale, f"{name}.turned")
        return graph.add(graph.mul(projected, self.cos), graph.mul(rotated, self.sin))

    def _layer(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.graph.array(f"{name}.weight"), self.graph.array(f"{name}.bias")


def _rotate_90(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotate pairs of rows by 90°: (even, odd) → (−odd, even)."""
    rotated = np.empty_like(rows)
    rotated[0::2], rotated[1::2] = -rows[1::2], rows[0::2]
    return rotated
