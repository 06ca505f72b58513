"""Graph `encode`: the trunk and the neck (reference-model §3). Trunks other than Hiera have modules of their own."""

from __future__ import annotations

import numpy as np

from masklet.backend import Features
from masklet.config import (
    COARSEST_STRIDE,
    HIERA,
    PATCH_SIZE,
    REPVIT_SCALES,
    STRIDE,
    STRIDES,
    VIT_SCALES,
    ModelConfig,
)
from masklet.onnx_graphs.attention_blocks import TileLayout, write_block, write_tile_block
from masklet.onnx_graphs.builder import GraphBuilder
from masklet.onnx_graphs.encode_lite import encode_with_lite
from masklet.onnx_graphs.encode_repvit import encode_with_repvit
from masklet.onnx_graphs.encode_vit import encode_with_vit
from masklet.onnx_graphs.neck import merge_lateral
from masklet.position_tables import compute_cubic_matrix


def write_encode(graph: GraphBuilder, config: ModelConfig, input_size: int) -> None:
    """Write `Sam2.encode`: `images` (B, 3, S, S) → `stride4`, `stride8`, `stride16`.

    Strides at which the network has no features have no output.
    """
    images = graph.input("images", ["pictures", 3, input_size, input_size], graph.precise_dtype)
    features = encode_images(graph, config, input_size, images)
    for stride, channels in zip(STRIDES, config.feature_channels, strict=True):
        name, side = f"stride{stride}", input_size // stride
        if channels:
            graph.output(name, getattr(features, name), ["pictures", channels, side, side])


def encode_images(graph: GraphBuilder, config: ModelConfig, input_size: int, images: str) -> Features[str]:
    """Encode `images` (B, 3, S, S) float32 as features, each (B, C, h, w). Features without channels are ""."""
    if config.trunk == HIERA:
        return _encode_with_hiera(graph, config, input_size, images)
    if config.trunk in VIT_SCALES:
        return Features("", "", encode_with_vit(graph, config, input_size, images))
    encode = encode_with_repvit if config.trunk in REPVIT_SCALES else encode_with_lite
    return encode(graph, config, input_size, images)


def _encode_with_hiera(graph: GraphBuilder, config: ModelConfig, input_size: int, images: str) -> Features[str]:
    fine, medium, channels = config.feature_channels
    coarse, half = input_size // STRIDE, input_size // COARSEST_STRIDE
    tiles = TileLayout(input_size // STRIDES[0] // config.windows[0], config.windows[0] // 4, 2)
    first, second, third, fourth = _encode_trunk(graph, config, tiles, images)
    level = graph.reshape(graph.linear(third, "neck.laterals.2"), -1, half, 2, half, 2, channels)
    deeper = graph.reshape(graph.linear(fourth, "neck.laterals.3"), -1, half, 1, half, 1, channels)
    both = graph.reshape(graph.add(level, deeper), -1, coarse, coarse, channels)  # nearest-neighbor upsampling
    stride4 = tiles.paste(graph, _project_lateral(graph, first, 0, "stride4"), fine)
    stride8 = tiles.pooled.paste(graph, _project_lateral(graph, second, 1, "stride8"), medium)
    return Features(*(graph.transpose(x, 0, 3, 1, 2) for x in (stride4, stride8, both)))


def _encode_trunk(graph: GraphBuilder, config: ModelConfig, tiles: TileLayout, images: str) -> list[str]:
    """Compute the tokens at the end of each stage, in tiles for the first two stages and row by row for the others."""
    side, ends = tiles.side, config.stage_ends
    x, outputs = tiles.cut(graph, _embed_patches(graph, config, side, images), config.width), []
    for index, block in enumerate(config.blocks):
        in_tiles = index <= ends[1] + 1  # up to the block that opens the third stage
        x = write_tile_block(graph, x, block) if in_tiles else write_block(graph, x, block, side)
        side = side // 2 if block.pools else side
        if index == ends[1] + 1:
            x = graph.reshape(tiles.pooled.pooled.paste(graph, x, block.out), -1, side * side, block.out)
        if index in ends:
            outputs.append(x)
    return outputs


def _embed_patches(graph: GraphBuilder, config: ModelConfig, side: int, images: str) -> str:
    """Embed patches and add the position embedding: (B, H, W, C)."""
    x = graph.conv(graph.to_graph_dtype(images), "trunk.patches", strides=[STRIDES[0]] * 2, pads=[PATCH_SIZE // 2] * 4)
    resize = compute_cubic_matrix(config.background, side)
    rows = graph.matmul(graph.constant(resize), graph.weight("trunk.positions"))
    repeats = graph.constant(np.array([1, 1, side // config.windows[0], side // config.windows[0]]))
    repeated = graph.op("Tile", graph.weight("trunk.window_positions"), repeats)
    table = graph.add(graph.matmul(rows, graph.constant(resize.T)), repeated)
    return graph.transpose(graph.add(x, table), 0, 2, 3, 1)


def _project_lateral(graph: GraphBuilder, x: str, level: int, last: str) -> str:
    """Apply two layers of the neck to tokens as one."""
    matrix, offset = merge_lateral(graph, level, last)
    return graph.affine(x, matrix.T, offset, f"neck.{last}")
