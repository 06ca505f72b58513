"""Prompt encoder in a graph: points as tokens, masks as pixels that are added to the features (reference-model §4)."""

from __future__ import annotations

import numpy as np

from masklet.config import MASK_PROMPT_CHANNELS, NOT_A_POINT, NUM_LABELS
from masklet.onnx_graphs.builder import GraphBuilder
from masklet.position_tables import compute_cell_centers


def encode_points(graph: GraphBuilder, points: str, labels: str, input_size: int) -> str:
    """Encode points (N, P, 2), xy as fractions of the image, and labels (N, P) as tokens (N, P, C)."""
    gaussian = graph.array("prompt_encoder.fourier.gaussian")
    offset = 2 * np.pi * (1 / input_size - 1) * gaussian.sum(axis=0)  # half a pixel, to pixel centers
    angles = graph.affine(points, 4 * np.pi * gaussian, offset, "prompt_encoder.fourier", dtype=graph.precise_dtype)
    positions = graph.to_graph_dtype(graph.concat([graph.op("Sin", angles), graph.op("Cos", angles)], axis=-1))
    names = ["not_a_point", *(f"labels.{label}" for label in range(NUM_LABELS))]
    table = np.concatenate([graph.array(f"prompt_encoder.{name}") for name in names])
    embeddings, rows = graph.constant(table, "prompt_encoder.kinds"), graph.add(labels, graph.constant(-NOT_A_POINT))
    embedding = graph.op("Gather", embeddings, rows)
    is_point = graph.unsqueeze(graph.op("GreaterOrEqual", labels, graph.constant(0)), 2)
    return graph.add(graph.where(is_point, positions, graph.constant(0.0)), embedding)


def encode_mask(graph: GraphBuilder, mask: str, masked: str, side: int) -> str:
    """Encode masks (1 or N, 1, 4 · side, 4 · side) as pixels (1 or N, side², C).

    Where `masked` is false, the pixels are the learned "no mask".
    """
    blocks = [-1, side, 2, 2, side, 2, 2]  # y from coarse to fine, then x
    x = graph.rearrange(graph.to_graph_dtype(mask), blocks, [0, 1, 4, 2, 5, 3, 6], [-1, 4 * side * side, 4])
    x = graph.reshape(_downsample(graph, x, 1), 0, side * side, MASK_PROMPT_CHANNELS)
    prompted = graph.linear(_downsample(graph, x, 2), "prompt_encoder.mask3")
    return graph.where(graph.unsqueeze(masked, 1, 2), prompted, graph.weight("prompt_encoder.no_mask"))


def encode_grid(graph: GraphBuilder, side: int) -> str:
    """Add the position encoding (1, side², C) of a feature map as a constant."""
    angles = 2 * np.pi * ((2 * compute_cell_centers(side, side) - 1) @ graph.array("prompt_encoder.fourier.gaussian"))
    return graph.constant(np.concatenate((np.sin(angles), np.cos(angles)), axis=-1)[None])


def _downsample(graph: GraphBuilder, blocks: str, layer: int) -> str:
    """Apply a convolution of kernel and stride 2 to blocks of 2 × 2 neighbors in one row, then norm and GELU."""
    kernel, offset = (graph.array(f"prompt_encoder.mask{layer}.{part}") for part in ("weight", "bias"))
    matrix = kernel.transpose(2, 3, 1, 0).reshape(-1, len(kernel))
    x = graph.affine(blocks, matrix, offset, f"prompt_encoder.mask{layer}")
    return graph.gelu(graph.layer_norm(x, f"prompt_encoder.mask_norm{layer}"))
