"""Layouts of other tools: image graphs with their file names, tensor names and conventions.

All of them take points in pixels of the network's square, and add the padding token themselves.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from masklet.backend import LOGIT_LIMIT
from masklet.config import NOT_A_POINT, NUM_MASKS, STRIDE, STRIDES
from masklet.files.hashing import sha256
from masklet.onnx_graphs.builder import GraphBuilder
from masklet.onnx_graphs.decode import TwoWayTransformer, decode_masks
from masklet.onnx_graphs.encode import encode_images
from masklet.onnx_graphs.exported_model import ExportedModel
from masklet.onnx_graphs.prompt_encoder import encode_grid, encode_mask, encode_points
from masklet.position_tables import compute_sine_waves

_AILIA_NAMES = {"tiny": "hiera_t", "small": "hiera_s", "base-plus": "hiera_b+", "large": "hiera_l"}


def _write_sam2_onnx(model: ExportedModel) -> dict[str, bytes]:
    """Write `encoder.onnx`, `decoder.onnx` and `metadata.json` of sam2-onnx, which decodes one prompt at a time."""
    names = _Names("high_res_feat_{}", "low_res_masks", labels="int64", batch=1, clamped=False)
    files = {
        "encoder.onnx": _write_encoder(model, names, ["image_embed", "high_res_feat_0", "high_res_feat_1"]),
        "decoder.onnx": _write_decoder(model, names),
    }
    metadata = {
        "image_size": model.input_size,
        "embed_dim": model.config.channels,
        "backbone_stride": STRIDE,
        "num_multimask_outputs": NUM_MASKS - 1,
        "mask_threshold": 0.0,
        "quantization": None,
        "sha256": {name: sha256(content) for name, content in files.items()},
    }
    return files | {"metadata.json": json.dumps(metadata, indent=1).encode()}


def _write_samexporter(model: ExportedModel) -> dict[str, bytes]:
    """Write `NAME.encoder.onnx` and `NAME.decoder.onnx` of samexporter, which X-AnyLabeling reads."""
    name = model.config.name.replace("-", "_hiera_", 1).replace("-", "_")
    names = _Names("high_res_feats_{}", "masks", labels="float32", batch="num_labels", clamped=True)
    order = ["high_res_feats_0", "high_res_feats_1", "image_embed"]
    return {
        f"{name}.encoder.onnx": _write_encoder(model, names, order),
        f"{name}.decoder.onnx": _write_decoder(model, names),
    }


def _write_ailia(model: ExportedModel) -> dict[str, bytes]:
    """Write the three image graphs and `pretrained_weights.npz` of ailia's sample segment-anything-2."""
    size, config = model.config.name.split("-", 1)[-1], model.config
    release = "_2.1" if config.release == "2.1" else ""
    name = _AILIA_NAMES.get(size, size)
    graphs = {
        "image_encoder": _write_ailia_encoder(model),
        "prompt_encoder_with_mask": _write_ailia_prompt_encoder(model),
        "mask_decoder": _write_ailia_mask_decoder(model),
    }
    keys = {
        "maskmem_tpos_enc": "slots",
        "no_mem_embed": "no_memory",
        "no_mem_pos_enc": "no_memory_position",
        "no_obj_ptr": "no_pointer",
    }
    archive = io.BytesIO()
    arrays: dict[str, Any] = {f"v{config.release}_{name}_{key}": model.tensors[ours] for key, ours in keys.items()}
    np.savez(archive, **arrays)
    files = {f"{part}_{name}{release}.onnx": content for part, content in graphs.items()}
    return files | {"pretrained_weights.npz": archive.getvalue()}


LAYOUTS: dict[str, Callable[[ExportedModel], dict[str, bytes]]] = {
    "sam2-onnx": _write_sam2_onnx,
    "samexporter": _write_samexporter,
    "ailia": _write_ailia,
}
"""The function that writes each layout; it returns files by name."""


class _Names(NamedTuple):
    """The differences between the layouts of sam2-onnx and samexporter."""

    features: str  # template of the names of the two finer feature maps
    masks: str  # name of the output
    labels: str  # dtype of the points' labels
    batch: int | str  # number of prompts, or the name of a free dimension
    clamped: bool  # logits are clamped to ±LOGIT_LIMIT


def _write_encoder(model: ExportedModel, names: _Names, order: list[str]) -> bytes:
    graph, (config, size) = GraphBuilder("encoder", model.tensors), (model.config, model.input_size)
    features = encode_images(graph, config, size, graph.input("image", [1, 3, size, size]))
    stride16 = graph.add(features.stride16, graph.constant(model.tensors["no_memory"].reshape(1, -1, 1, 1)))
    fine = zip(range(2), features[:2], STRIDES[:2], config.feature_channels[:2], strict=True)
    outputs = {names.features.format(k): (x, [1, width, size // s, size // s]) for k, x, s, width in fine}
    outputs["image_embed"] = (stride16, [1, config.channels, size // STRIDE, size // STRIDE])
    for name in order:
        graph.output(name, *outputs[name])
    return graph.to_bytes()


def _write_decoder(model: ExportedModel, names: _Names) -> bytes:
    graph, side = GraphBuilder("decoder", model.tensors), model.input_size // STRIDE
    fine, medium, channels = model.config.feature_channels
    image = graph.input("image_embed", [1, channels, side, side])
    stride4 = graph.input(names.features.format(0), [1, fine, 4 * side, 4 * side])
    stride8 = graph.input(names.features.format(1), [1, medium, 2 * side, 2 * side])
    points = graph.input("point_coords", [names.batch, "num_points", 2])
    labels = graph.input("point_labels", [names.batch, "num_points"], names.labels)
    mask = graph.input("mask_input", [names.batch, 1, 4 * side, 4 * side])
    has_mask = graph.input("has_mask_input", [1, 1] if names.batch == 1 else [names.batch])
    prompts = _encode_padded_points(graph, points, labels, model.input_size)
    masked = graph.op("Greater", graph.reshape(has_mask, -1), graph.constant(0.5))
    pixels = graph.add(graph.to_tokens(image, channels, side), encode_mask(graph, mask, masked, side))
    transformer = TwoWayTransformer(graph, side, encode_grid(graph, side))
    output = decode_masks(transformer, pixels, prompts, (stride8, stride4))
    masks = graph.slice(output.logits, 1, NUM_MASKS, axis=1)
    if names.clamped:
        masks = graph.op("Clip", masks, graph.constant(-LOGIT_LIMIT), graph.constant(LOGIT_LIMIT))
    graph.output(names.masks, masks, [names.batch, NUM_MASKS - 1, 4 * side, 4 * side])
    graph.output("iou_predictions", graph.slice(output.iou, 1, NUM_MASKS, axis=1), [names.batch, NUM_MASKS - 1])
    return graph.to_bytes()


def _encode_padded_points(graph: GraphBuilder, points: str, labels: str, input_size: int) -> str:
    """Encode points in pixels and one padding token; labels may have any dtype."""
    fractions = graph.mul(points, graph.constant(1 / input_size))
    origin = graph.mul(graph.slice(fractions, 0, 1, axis=1), graph.constant(0.0))
    integers = graph.to_int64(labels)
    zero = graph.mul(graph.slice(integers, 0, 1, axis=1), graph.constant(0))
    not_a_point = graph.add(zero, graph.constant(NOT_A_POINT))
    points, labels = graph.concat([fractions, origin], axis=1), graph.concat([integers, not_a_point], axis=1)
    return encode_points(graph, points, labels, input_size)


def _write_ailia_encoder(model: ExportedModel) -> bytes:
    graph, (config, size) = GraphBuilder("image_encoder", model.tensors), (model.config, model.input_size)
    features = encode_images(graph, config, size, graph.input("input_image", [1, 3, size, size]))
    sides, widths = [size // stride for stride in STRIDES], config.feature_channels
    graph.output("vision_features", features.stride16, [1, config.channels, sides[2], sides[2]])
    for level, side in enumerate(sides):
        encoding = _write_sine_map(graph, side, config.channels)
        graph.output(f"vision_pos_enc_{level}", encoding, [1, config.channels, side, side])
    for level, (x, side, width) in enumerate(zip(features, sides, widths, strict=True)):
        graph.output(f"backbone_fpn_{level}", x, [1, width, side, side])
    return graph.to_bytes()


def _write_sine_map(graph: GraphBuilder, side: int, channels: int) -> str:
    """Write the sine encoding of a map, (1, C, H, W), expanded from one row and one column to keep the file small."""
    waves = compute_sine_waves(side, channels).T
    shape = graph.constant(np.array([1, channels // 2, side, side]))
    halves = [
        graph.op("Expand", graph.constant(line), shape) for line in (waves[None, :, :, None], waves[None, :, None])
    ]
    return graph.concat(halves, axis=1)


def _write_ailia_prompt_encoder(model: ExportedModel) -> bytes:
    graph = GraphBuilder("prompt_encoder", model.tensors)
    channels, side = model.config.channels, model.input_size // STRIDE
    points = graph.input("coords", ["b", "n", 2])
    labels = graph.input("labels", ["b", "n"], "int32")
    mask = graph.input("masks", ["b", 1, 4 * side, 4 * side])
    masked = graph.op("Greater", graph.input("masks_enable", [1], "int32"), graph.constant(np.int32(0)))
    tokens = _encode_padded_points(graph, points, labels, model.input_size)
    dense = graph.to_map(encode_mask(graph, mask, masked, side), channels, side)
    graph.output("sparse_embeddings", tokens, ["b", "n_and_one", channels])
    graph.output("dense_embeddings", dense, ["b", channels, side, side])
    positions = graph.to_map(encode_grid(graph, side), channels, side)
    graph.output("dense_pe", positions, [1, channels, side, side])
    return graph.to_bytes()


def _write_ailia_mask_decoder(model: ExportedModel) -> bytes:
    graph, side = GraphBuilder("mask_decoder", model.tensors), model.input_size // STRIDE
    fine, medium, channels = model.config.feature_channels
    square = [1, channels, side, side]
    image, positions = graph.input("image_embeddings", square), graph.input("image_pe", square)
    prompts = graph.input("sparse_prompt_embeddings", [1, "n", channels])
    dense = graph.input("dense_prompt_embeddings", square)
    stride4 = graph.input("high_res_features1", [1, fine, 4 * side, 4 * side])
    stride8 = graph.input("high_res_features2", [1, medium, 2 * side, 2 * side])
    pixels = graph.to_tokens(graph.add(image, dense), channels, side)
    transformer = TwoWayTransformer(graph, side, graph.to_tokens(positions, channels, side))
    output = decode_masks(transformer, pixels, prompts, (stride8, stride4))
    graph.output("masks", output.logits, [1, NUM_MASKS, 4 * side, 4 * side])
    graph.output("iou_pred", output.iou, [1, NUM_MASKS])
    graph.output("sam_tokens_out", output.tokens, [1, NUM_MASKS, channels])
    graph.output("object_score_logits", output.object_score, [1, 1])
    return graph.to_bytes()
