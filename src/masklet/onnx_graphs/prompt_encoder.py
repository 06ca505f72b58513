"""Prompts in a graph: points become tokens, masks become pixels that are added to the features (reference-model §4)."""

from __future__ import annotations

import numpy as np

from masklet.onnx_graphs.builder import Graph
from masklet.onnx_graphs.position_tables import centres


def point_tokens(graph: Graph, points: str, labels: str, size: int) -> str:
    """One token for each point (N, P, C): `points` (N, P, 2) fractions of a picture of `size`, `labels` (N, P)."""
    waves = graph.array("prompt_encoder.fourier.gaussian")
    start = 2 * np.pi * (1 / size - 1) * waves.sum(axis=0)  # half a pixel: points are told by their centres
    angles = graph.affine(points, 4 * np.pi * waves, start, "prompt_encoder.fourier", dtype=graph.precise)
    places = graph.own(graph.concat([graph.op("Sin", angles), graph.op("Cos", angles)], axis=-1))
    kinds = ["not_a_point", *(f"labels.{label}" for label in range(4))]
    table = np.concatenate([graph.array(f"prompt_encoder.{kind}") for kind in kinds])
    kind = graph.op("Gather", graph.constant(table, "prompt_encoder.kinds"), graph.add(labels, graph.constant(1)))
    is_point = graph.unsqueeze(graph.op("GreaterOrEqual", labels, graph.constant(0)), 2)
    return graph.add(graph.where(is_point, places, graph.constant(0.0)), kind)


def mask_pixels(graph: Graph, mask: str, masked: str, side: int) -> str:
    """Masks (1 or N, 1, 4 side, 4 side) as pixels (1 or N, side², C); the learned "no mask" where not `masked`."""
    fours = [-1, side, 2, 2, side, 2, 2]  # y from coarse to fine, then x
    x = graph.rearrange(graph.own(mask), fours, [0, 1, 4, 2, 5, 3, 6], [-1, 4 * side * side, 4])
    x = graph.reshape(_finer(graph, x, 1), 0, side * side, 16)
    prompted = graph.linear(_finer(graph, x, 2), "prompt_encoder.mask3")
    return graph.where(graph.unsqueeze(masked, 1, 2), prompted, graph.weight("prompt_encoder.no_mask"))


def place_table(graph: Graph, side: int) -> str:
    """Where the pixels are: (1, side², C)."""
    angles = 2 * np.pi * ((2 * centres(side) - 1) @ graph.array("prompt_encoder.fourier.gaussian"))
    return graph.constant(np.concatenate((np.sin(angles), np.cos(angles)), axis=-1)[None])


def _finer(graph: Graph, fours: str, layer: int) -> str:
    """A convolution of kernel and stride 2 on fours of neighbours that lie in one row, then norm and GELU."""
    kernel, offset = (graph.array(f"prompt_encoder.mask{layer}.{part}") for part in ("weight", "bias"))
    matrix = kernel.transpose(2, 3, 1, 0).reshape(-1, len(kernel))
    x = graph.affine(fours, matrix, offset, f"prompt_encoder.mask{layer}")
    return graph.gelu(graph.norm(x, f"prompt_encoder.mask_norm{layer}"))
