"""Graph `memorize`: features and a mask → a memory map (reference-model §6.1), or the latents of EdgeTAM."""

from __future__ import annotations

import numpy as np

from masklet.backend import MASK_BIAS, MASK_SCALE, NO_OBJECT
from masklet.config import FUSER_BLOCKS, MASK_STRIDE, STRIDE, ModelConfig
from masklet.onnx_graphs.builder import GraphBuilder
from masklet.onnx_graphs.perceiver import compute_latents


def write_memorize(graph: GraphBuilder, config: ModelConfig, input_size: int) -> None:
    """Write `Sam2.memorize`: raw features of one image or of N objects, N low-res logits and scores → `memories`."""
    channels, side = config.channels, input_size // STRIDE
    stride16 = graph.input("stride16", ["pictures", channels, side, side])
    logits = graph.input("logits", ["objects", 1, 4 * side, 4 * side], graph.precise_dtype)
    score = graph.input("score", ["objects", 1], graph.precise_dtype)
    binarize = graph.input("binarize", ["objects"], "bool")
    visible = graph.unsqueeze(graph.op("Greater", score, graph.constant(0.0, dtype=graph.precise_dtype)), 2, 3)
    visible_logits = graph.where(visible, graph.to_graph_dtype(logits), graph.constant(NO_OBJECT))
    mask = _encode_mask(graph, visible_logits, graph.unsqueeze(binarize, 1, 2, 3))
    x = graph.add(graph.conv(stride16, "memory_encoder.image"), mask)
    for index in range(FUSER_BLOCKS):
        x = _fuse(graph, x, f"memory_encoder.fuser.{index}", channels)
    memories = graph.conv(x, "memory_encoder.out")
    if config.occlusion:
        hidden = graph.constant(graph.array("hidden")[..., None, None], "hidden")
        memories = graph.add(memories, graph.where(visible, graph.constant(0.0), hidden))
    if config.latent_grid:
        memories = compute_latents(graph, config, memories, side)
    graph.output("memories", memories, ["objects", *config.memory_shape(input_size)])


def _encode_mask(graph: GraphBuilder, logits: str, binarize: str) -> str:
    """Upsample masks to the input size, threshold those to binarize, and downsample four times: (N, C, h, w)."""
    scales = graph.constant(np.array([1, 1, STRIDE // MASK_STRIDE, STRIDE // MASK_STRIDE]), dtype="float32")
    large = graph.op("Resize", logits, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
    high, low = graph.constant(MASK_SCALE + MASK_BIAS), graph.constant(MASK_BIAS)
    hard = graph.where(graph.op("Greater", large, graph.constant(0.0)), high, low)
    soft = graph.add(graph.mul(graph.op("Sigmoid", large), graph.constant(MASK_SCALE)), low)
    x = graph.where(binarize, hard, soft)
    for index in range(4):
        x = graph.conv(x, f"memory_encoder.mask.convs.{index}", strides=[2, 2], pads=[1, 1, 1, 1])
        x = graph.gelu(graph.layer_norm(graph.transpose(x, 0, 2, 3, 1), f"memory_encoder.mask.norms.{index}"))
        x = graph.transpose(x, 0, 3, 1, 2)
    return graph.conv(x, "memory_encoder.mask.out")


def _fuse(graph: GraphBuilder, x: str, name: str, channels: int) -> str:
    """Apply a ConvNeXt block, whose layer scale is merged into its last layer."""
    y = graph.conv(x, f"{name}.depthwise", pads=[3, 3, 3, 3], group=channels)
    y = graph.layer_norm(graph.transpose(y, 0, 2, 3, 1), f"{name}.norm")
    y = graph.gelu(graph.linear(y, f"{name}.up"))
    gain, matrix, offset = (graph.array(f"{name}.{part}") for part in ("gain", "down.weight", "down.bias"))
    y = graph.affine(y, matrix.T * gain, offset * gain, f"{name}.down")
    return graph.add(x, graph.transpose(y, 0, 3, 1, 2))
