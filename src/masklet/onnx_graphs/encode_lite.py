"""Graph `encode` of networks with EfficientNet-Lite: convolutions throughout, in maps (B, C, H, W).

With int8, the blocks of stride 32 are quantized. At finer strides the error would be larger: it grows from block to
block, and the features of strides 4 and 8 reach the masks directly (docs/log.md, 2026-11-30).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masklet.backend import GRAY, Features
from masklet.config import MASK_STRIDE, POSITION_WAVES, MBConvConfig, ModelConfig
from masklet.onnx_graphs.builder import GraphBuilder
from masklet.onnx_graphs.neck import apply_matrix, join_coarse_levels, merge_lateral
from masklet.position_tables import compute_position_waves

QUANTIZED_STRIDE = 32  # the finest of the blocks that int8 quantizes


def encode_with_lite(graph: GraphBuilder, config: ModelConfig, input_size: int, images: str) -> Features[str]:
    """Encode `images` (B, 3, S, S) as features, each (B, C, h, w)."""
    first, second, third, fourth = _encode_trunk(graph, config, images)
    matrix, offset = merge_lateral(graph, 0, "stride4")
    stride4 = apply_matrix(graph, first, matrix[:, :-POSITION_WAVES], offset, "neck.stride4")
    waves = compute_position_waves(input_size // MASK_STRIDE, input_size // MASK_STRIDE)
    stride4 = graph.add(stride4, _project_waves(graph, matrix[:, -POSITION_WAVES:], waves))
    stride8 = apply_matrix(graph, second, *merge_lateral(graph, 1, "stride8"), "neck.stride8")
    return Features(stride4, stride8, join_coarse_levels(graph, config, input_size, (third, fourth)))


def _encode_trunk(graph: GraphBuilder, config: ModelConfig, images: str) -> list[str]:
    """Compute the maps of the four levels, without the position waves."""
    gray = graph.constant(np.array(GRAY)[:, None, None])
    x = _convolve(graph, graph.op("Sub", graph.to_graph_dtype(images), gray), "trunk.stem", kernel=3, stride=2)
    x, outputs, ends = _relu6(graph, x), [], config.mbconv_ends.values()
    blocks, last_exact = config.mbconv_blocks, config.mbconv_ends[QUANTIZED_STRIDE // 2]
    for index, block in enumerate(blocks):
        write = _write_quantized_block if index > last_exact else _write_block
        x = write(graph, x, block)
        if index in ends:
            outputs.append(x)
        if last_exact <= index < len(blocks) - 1:
            x = graph.quantize_map(x, f"{block.name}.{'sum' if block.is_residual else 'project'}")
    return outputs


def _write_block(graph: GraphBuilder, x: str, block: MBConvConfig) -> str:
    hidden = x
    if block.expansion > 1:
        hidden = _relu6(graph, graph.conv(x, f"{block.name}.expand"))
    hidden = _convolve(graph, hidden, f"{block.name}.depthwise", block.kernel, block.stride, group=block.hidden)
    out = graph.conv(_relu6(graph, hidden), f"{block.name}.project")
    return graph.add(x, out) if block.is_residual else out


def _write_quantized_block(graph: GraphBuilder, x: str, block: MBConvConfig) -> str:
    """Write a block whose maps are quantized if their ranges are known, except its result."""
    expand, depthwise, project = (f"{block.name}.{layer}" for layer in ("expand", "depthwise", "project"))
    graph.record_moments(x, expand, block.channels)
    hidden = graph.quantize_map(_relu6(graph, graph.conv(x, expand)), expand)
    hidden = _convolve(graph, hidden, depthwise, block.kernel, block.stride, group=block.hidden)
    hidden = graph.quantize_map(_relu6(graph, hidden), depthwise)
    graph.record_moments(hidden, project, block.hidden)
    out = graph.conv(hidden, project)
    return graph.add(x, graph.quantize_map(out, project)) if block.is_residual else out


def _convolve(graph: GraphBuilder, x: str, name: str, kernel: int, stride: int, group: int = 1) -> str:
    """Apply a convolution with TensorFlow's "same" padding to a map of even sides."""
    total = kernel - stride
    pads = [total // 2] * 2 + [total - total // 2] * 2
    return graph.conv(x, name, strides=[stride] * 2, pads=pads, group=group)


def _relu6(graph: GraphBuilder, x: str) -> str:
    return graph.op("Clip", x, graph.constant(0.0), graph.constant(6.0))


def _project_waves(graph: GraphBuilder, matrix: NDArray[np.float64], waves: NDArray[np.float64]) -> str:
    """Return what the waves add to the finest features, (1, C, h, w), as a sum of a row and a column."""
    along_x, along_y = np.arange(0, len(waves), 2), np.arange(1, len(waves), 2)
    row = matrix[:, along_x] @ waves[along_x, 0]
    column = matrix[:, along_y] @ waves[along_y, :, 0]
    return graph.add(graph.constant(row[None, :, None]), graph.constant(column[None, :, :, None]))
