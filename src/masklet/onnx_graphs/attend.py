"""Writes `Sam2.attend` as a graph: features look at memories through turned positions (reference-model §6.2, §6.3).

There is one head, so projecting the values and then the answer is one product, and memories are averaged before it,
with a quarter of the channels. What all objects share keeps a batch of one until they differ.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.config import ModelConfig
from masklet.onnx_graphs.builder import Graph
from masklet.onnx_graphs.position_tables import axial_angles, sine_table, wavelengths

POSITION_WEIGHT = 0.1  # how strongly the features' own places are added, as released
ROWS = 256  # queries that are worked on together, which bounds the memory that their scores take
EPSILON = 1e-5


def write_attend(graph: Graph, config: ModelConfig, size: int) -> None:
    """Features of one picture or of N objects, and N objects' memories, at least one each → `attended`."""
    channels, side = config.channels, size // 16
    x = graph.pixels(graph.input("stride16", ["pictures", channels, side, side]), channels, side)
    x = graph.add(x, graph.constant(POSITION_WEIGHT * sine_table(side, channels)))
    memories, look = _memories(graph, config, side), _Attention(graph, side, channels)
    for index in range(config.attention_layers):
        name = f"memory_attention.layers.{index}"
        normed = graph.norm(x, f"{name}.norm1", EPSILON)
        x = graph.add(x, look.around(f"{name}.self_attention", normed))
        x = graph.add(x, look.back(f"{name}.to_memory", graph.norm(x, f"{name}.norm2", EPSILON), memories))
        hidden = graph.op("Relu", graph.linear(graph.norm(x, f"{name}.norm3", EPSILON), f"{name}.up"))
        x = graph.add(x, graph.linear(hidden, f"{name}.down"))
    x = graph.planes(graph.norm(x, "memory_attention.norm", EPSILON), channels, side)
    graph.output("attended", x, ["objects", channels, side, side])


class _Memories(NamedTuple):
    tokens: str  # (N, M, c): all maps, then all pointers
    maps: str  # (N, T, pixels, c): what the maps' keys are made of
    pointers: str  # (N, tokens, c): what the pointers' keys are made of


def _memories(graph: Graph, config: ModelConfig, side: int) -> _Memories:
    width, channels = config.memory_channels, config.channels
    memories = graph.input("memories", ["objects", "memories", width, side, side])
    slots = graph.input("slots", ["objects", "memories"], "int64")
    pointers = graph.input("pointers", ["objects", "pointers", channels])
    times = graph.input("times", ["objects", "pointers"], graph.precise)
    pieces = channels // width  # a pointer is cut into so many tokens; they come piece by piece
    maps = graph.transpose(graph.reshape(memories, 0, 0, width, side * side), 0, 1, 3, 2)
    tokens = graph.concat(graph.split(pointers, pieces, axis=2), axis=1)
    slot = graph.op("Gather", graph.constant(graph.array("slots").reshape(-1, width)), slots)
    placed = graph.add(maps, graph.add(graph.unsqueeze(slot, 2), graph.constant(sine_table(side, width))))
    timed = tokens
    if config.pointer_times:
        speeds = graph.constant(1 / wavelengths(channels // 2), dtype=graph.precise)
        angles = graph.mul(graph.unsqueeze(times, 2), speeds)
        table = graph.own(graph.concat([graph.op("Sin", angles), graph.op("Cos", angles)], axis=2))
        timed = graph.add(tokens, graph.concat([graph.linear(table, "pointer_times")] * pieces, axis=1))
    return _Memories(graph.concat([graph.reshape(maps, 0, -1, width), tokens], axis=1), placed, timed)


class _Attention:
    """Attention with one head, in which pairs of channels are turned by their token's place."""

    def __init__(self, graph: Graph, side: int, channels: int) -> None:
        self.graph, self.channels = graph, channels
        angles = axial_angles(side, channels).repeat(2, axis=1)
        self.cos, self.sin = graph.constant(np.cos(angles)), graph.constant(np.sin(angles))
        self.chunks = max(1, side * side // ROWS)

    def around(self, name: str, x: str) -> str:
        """What tokens find among themselves."""
        keys = self._turned(x, f"{name}.k", 1.0)
        return self._answer(name, self._found(name, x, keys, x))

    def back(self, name: str, x: str, memories: _Memories) -> str:
        """What tokens find in memories."""
        maps = self.graph.reshape(self._turned(memories.maps, f"{name}.k", 1.0), 0, -1, self.channels)
        keys = self.graph.concat([maps, self.graph.linear(memories.pointers, f"{name}.k")], axis=1)
        return self._answer(name, self._found(name, x, keys, memories.tokens))

    def _found(self, name: str, x: str, keys: str, values: str) -> str:
        queries = self._turned(x, f"{name}.q", self.channels**-0.5)
        return self.graph.attention(queries, self.graph.transpose(keys, 0, 2, 1), values, self.chunks)

    def _answer(self, name: str, found: str) -> str:
        (to_v, v), (last, offset) = (self._layer(f"{name}.{which}") for which in ("v", "out"))
        return self.graph.affine(found, (last @ to_v).T, last @ v + offset, f"{name}.out")

    def _turned(self, x: str, name: str, scale: float) -> str:
        """A layer whose channels (2c, 2c + 1) are turned by the token's angle: what they are by its cosine, and what
        they are a right angle further by its sine."""
        graph, (weight, bias) = self.graph, self._layer(name)
        straight = graph.affine(x, weight.T * scale, bias * scale, name)
        across = graph.affine(x, _right_angle(weight).T * scale, _right_angle(bias) * scale, f"{name}.turned")
        return graph.add(graph.mul(straight, self.cos), graph.mul(across, self.sin))

    def _layer(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.graph.array(f"{name}.weight"), self.graph.array(f"{name}.bias")


def _right_angle(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows (even, odd) → (−odd, even)."""
    turned = np.empty_like(rows)
    turned[0::2], turned[1::2] = -rows[1::2], rows[0::2]
    return turned
