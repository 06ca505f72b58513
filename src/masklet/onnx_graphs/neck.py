"""The feature pyramid in the graph `encode`, for trunks whose maps are (B, C, H, W) (reference-model §3.2, §3.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masklet.config import COARSEST_STRIDE, STRIDE, ModelConfig
from masklet.onnx_graphs.builder import GraphBuilder


def join_coarse_levels(graph: GraphBuilder, config: ModelConfig, input_size: int, maps: tuple[str, str]) -> str:
    """Add the trunk's map of stride 32, upsampled, to that of stride 16: (B, C, h, w)."""
    coarse, half, channels = input_size // STRIDE, input_size // COARSEST_STRIDE, config.channels
    level = graph.reshape(graph.conv(maps[0], "neck.laterals.2"), -1, channels, half, 2, half, 2)
    deeper = graph.reshape(graph.conv(maps[1], "neck.laterals.3"), -1, channels, half, 1, half, 1)
    return graph.reshape(graph.add(level, deeper), -1, channels, coarse, coarse)  # nearest-neighbor upsampling


def merge_lateral(graph: GraphBuilder, level: int, last: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Merge two layers of the neck into a matrix (out, in) and an offset.

    No other layer reads the result of the first at strides 4 and 8.
    """
    inner, outer = (graph.array(f"neck.{name}.weight")[..., 0, 0] for name in (f"laterals.{level}", last))
    return outer @ inner, outer @ graph.array(f"neck.laterals.{level}.bias") + graph.array(f"neck.{last}.bias")


def apply_matrix(
    graph: GraphBuilder, x: str, matrix: NDArray[np.float64], offset: NDArray[np.float64], name: str
) -> str:
    """Apply a matrix (out, C) to the channels of a map."""
    weight, bias = graph.constant(matrix[..., None, None], f"{name}.matrix"), graph.constant(offset, f"{name}.offset")
    return graph.op("Conv", x, weight, bias, name=name)
