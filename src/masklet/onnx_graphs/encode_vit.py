"""Graph `encode` of networks with a plain vision transformer: tokens (B, tokens, channels) up to the neck."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masklet.config import STRIDE, VIT_POSITIONS, ModelConfig
from masklet.onnx_graphs.attention_blocks import write_block
from masklet.onnx_graphs.builder import GraphBuilder
from masklet.position_tables import compute_cubic_matrix


def encode_with_vit(graph: GraphBuilder, config: ModelConfig, input_size: int, images: str) -> str:
    """Encode `images` (B, 3, S, S) as features at stride 16, (B, C, h, w)."""
    side, channels = input_size // STRIDE, config.channels
    x = graph.conv(graph.to_graph_dtype(images), "trunk.patches", strides=[STRIDE, STRIDE])
    x = graph.to_tokens(x, config.levels[STRIDE], side)
    x = graph.add(x, graph.constant(_compute_positions(graph, side), "trunk.positions"))
    for block in config.blocks:
        x = write_block(graph, x, block, side)
    x = graph.project(x, graph.array("neck.project.weight")[..., 0, 0].T, "neck.project")
    x = graph.to_map(graph.layer_norm(x, "neck.norm1"), channels, side)
    x = graph.op("Conv", x, graph.weight("neck.smooth.weight"), name="neck.smooth", pads=[1, 1, 1, 1])
    return graph.to_map(graph.layer_norm(graph.to_tokens(x, channels, side), "neck.norm2"), channels, side)


def _compute_positions(graph: GraphBuilder, side: int) -> NDArray[np.float64]:
    """Compute the position embeddings of `side`² tokens, (tokens, C), from those of the smaller grid."""
    grid = graph.array("trunk.positions")[0, 1:]  # the first one, of a class token, is unused
    resize = compute_cubic_matrix(VIT_POSITIONS, side)
    return np.kron(resize, resize) @ grid
