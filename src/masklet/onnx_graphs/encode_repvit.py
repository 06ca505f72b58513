"""Graph `encode` of networks with RepViT: convolutions throughout, in maps (B, C, H, W)."""

from __future__ import annotations

from masklet.backend import Features
from masklet.config import ModelConfig, RepVitBlockConfig, RepVitStageConfig
from masklet.onnx_graphs.builder import GraphBuilder
from masklet.onnx_graphs.neck import apply_matrix, join_coarse_levels, merge_lateral

_HALVING = {"strides": [2, 2], "pads": [1, 1, 1, 1]}  # of a 3 × 3 convolution


def encode_with_repvit(graph: GraphBuilder, config: ModelConfig, input_size: int, images: str) -> Features[str]:
    """Encode `images` (B, 3, S, S) as features, each (B, C, h, w)."""
    x = graph.gelu(graph.conv(graph.to_graph_dtype(images), "trunk.stem1", **_HALVING))
    x, maps = graph.conv(x, "trunk.stem2", **_HALVING), []
    for stage in config.repvit_stages:
        x = _write_stage(graph, x, stage)
        maps.append(x)
    first, second, third, fourth = maps
    stride4 = apply_matrix(graph, first, *merge_lateral(graph, 0, "stride4"), "neck.stride4")
    stride8 = apply_matrix(graph, second, *merge_lateral(graph, 1, "stride8"), "neck.stride8")
    return Features(stride4, stride8, join_coarse_levels(graph, config, input_size, (third, fourth)))


def _write_stage(graph: GraphBuilder, x: str, stage: RepVitStageConfig) -> str:
    if stage.before is not None:
        x = _write_block(graph, x, stage.before)
        x = graph.conv(x, f"{stage.name}.spatial", group=stage.channels, **_HALVING)
        x = _add_mlp(graph, graph.conv(x, f"{stage.name}.channel"), stage.name)
    for block in stage.blocks:
        x = _write_block(graph, x, block)
    return x


def _write_block(graph: GraphBuilder, x: str, block: RepVitBlockConfig) -> str:
    x = graph.conv(x, f"{block.name}.mixer", pads=[1, 1, 1, 1], group=block.channels)
    if block.squeezed:
        means = graph.op("GlobalAveragePool", x)
        squeezed = graph.op("Relu", graph.conv(means, f"{block.name}.squeeze"))
        x = graph.mul(x, graph.op("Sigmoid", graph.conv(squeezed, f"{block.name}.excite")))
    return _add_mlp(graph, x, block.name)


def _add_mlp(graph: GraphBuilder, x: str, name: str) -> str:
    """Apply an MLP to the channels, with its residual."""
    return graph.add(x, graph.conv(graph.gelu(graph.conv(x, f"{name}.up")), f"{name}.down"))
