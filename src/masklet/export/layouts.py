"""Writes the picture graphs with other tools' names: their files, their tensors, their conventions.

All of them take points in pixels of the network's square and add the token that is not a point by themselves.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from masklet.backend import LOGIT_LIMIT
from masklet.files.hashing import sha256
from masklet.onnx_graphs.builder import Graph
from masklet.onnx_graphs.decode import MASKS, Looking, find
from masklet.onnx_graphs.encode import encoded
from masklet.onnx_graphs.exported_model import Network
from masklet.onnx_graphs.position_tables import sine_waves
from masklet.onnx_graphs.prompt_encoder import mask_pixels, place_table, point_tokens

_AILIA = {"tiny": "hiera_t", "small": "hiera_s", "base-plus": "hiera_b+", "large": "hiera_l"}


def sam2_onnx(network: Network) -> dict[str, bytes]:
    """`encoder.onnx`, `decoder.onnx` and `metadata.json` of the package sam2-onnx: one prompt at a time."""
    names = _Names("high_res_feat_{}", "low_res_masks", labels="int64", batch=1, limited=False)
    files = {
        "encoder.onnx": _encoder(network, names, ["image_embed", "high_res_feat_0", "high_res_feat_1"]),
        "decoder.onnx": _decoder(network, names),
    }
    told = {
        "image_size": network.size,
        "embed_dim": network.config.channels,
        "backbone_stride": 16,
        "num_multimask_outputs": MASKS - 1,
        "mask_threshold": 0.0,
        "quantization": None,
        "sha256": {name: sha256(content) for name, content in files.items()},
    }
    return files | {"metadata.json": json.dumps(told, indent=1).encode()}


def samexporter(network: Network) -> dict[str, bytes]:
    """`NAME.encoder.onnx` and `NAME.decoder.onnx`, which samexporter writes and X-AnyLabeling reads."""
    name = network.config.name.replace("-", "_hiera_", 1).replace("-", "_")
    names = _Names("high_res_feats_{}", "masks", labels="float32", batch="num_labels", limited=True)
    order = ["high_res_feats_0", "high_res_feats_1", "image_embed"]
    return {f"{name}.encoder.onnx": _encoder(network, names, order), f"{name}.decoder.onnx": _decoder(network, names)}


def ailia(network: Network) -> dict[str, bytes]:
    """The three picture graphs and `pretrained_weights.npz` of ailia's sample segment-anything-2."""
    size, config = network.config.name.split("-", 1)[-1], network.config
    release = "_2.1" if config.release == "2.1" else ""
    name = _AILIA.get(size, size)
    written = {
        "image_encoder": _ailia_encoder(network),
        "prompt_encoder_with_mask": _ailia_prompts(network),
        "mask_decoder": _ailia_decoder(network),
    }
    ours = {"maskmem_tpos_enc": "slots", "no_mem_embed": "no_memory", "no_mem_pos_enc": "no_memory_position"}
    ours["no_obj_ptr"] = "no_pointer"
    beside, arrays = io.BytesIO(), {key: network.tensors[tensor] for key, tensor in ours.items()}
    np.savez(beside, allow_pickle=False, **{f"v{config.release}_{name}_{key}": value for key, value in arrays.items()})
    files = {f"{part}_{name}{release}.onnx": content for part, content in written.items()}
    return files | {"pretrained_weights.npz": beside.getvalue()}


LAYOUTS: dict[str, Callable[[Network], dict[str, bytes]]] = {
    "sam2-onnx": sam2_onnx,
    "samexporter": samexporter,
    "ailia": ailia,
}
"""Other tools' layouts by name: the files of a network."""


class _Names(NamedTuple):
    """What differs between two layouts that are otherwise one."""

    features: str  # a template of the two finer features' names
    masks: str
    labels: str  # the dtype of the points' labels
    batch: int | str  # how many prompts at a time
    limited: bool  # logits are clamped


def _encoder(network: Network, names: _Names, order: list[str]) -> bytes:
    graph, (config, size) = Graph("encoder", network.tensors), (network.config, network.size)
    features = encoded(graph, config, size, graph.input("image", [1, 3, size, size]))
    alone = graph.add(features.stride16, graph.constant(network.tensors["no_memory"].reshape(1, -1, 1, 1)))
    fine = zip(range(2), features[:2], (4, 8), (config.channels // 8, config.channels // 4), strict=True)
    found = {names.features.format(k): (x, [1, width, size // s, size // s]) for k, x, s, width in fine}
    found["image_embed"] = (alone, [1, config.channels, size // 16, size // 16])
    for name in order:
        graph.output(name, *found[name])
    return graph.file()


def _decoder(network: Network, names: _Names) -> bytes:
    graph, channels, side = Graph("decoder", network.tensors), network.config.channels, network.size // 16
    image = graph.input("image_embed", [1, channels, side, side])
    stride4 = graph.input(names.features.format(0), [1, channels // 8, 4 * side, 4 * side])
    stride8 = graph.input(names.features.format(1), [1, channels // 4, 2 * side, 2 * side])
    points = graph.input("point_coords", [names.batch, "num_points", 2])
    labels = graph.input("point_labels", [names.batch, "num_points"], names.labels)
    mask = graph.input("mask_input", [names.batch, 1, 4 * side, 4 * side])
    masked = graph.input("has_mask_input", [1, 1] if names.batch == 1 else [names.batch])
    prompts = _padded_tokens(graph, points, labels, network.size)
    given = graph.op("Greater", graph.reshape(masked, -1), graph.constant(0.5))
    pixels = graph.add(graph.pixels(image, channels, side), mask_pixels(graph, mask, given, side))
    found = find(Looking(graph, side, place_table(graph, side)), pixels, prompts, (stride8, stride4))
    masks = graph.part(found.logits, 1, MASKS, axis=1)
    if names.limited:
        masks = graph.op("Clip", masks, graph.constant(-LOGIT_LIMIT), graph.constant(LOGIT_LIMIT))
    graph.output(names.masks, masks, [names.batch, MASKS - 1, 4 * side, 4 * side])
    graph.output("iou_predictions", graph.part(found.iou, 1, MASKS, axis=1), [names.batch, MASKS - 1])
    return graph.file()


def _padded_tokens(graph: Graph, points: str, labels: str, size: int) -> str:
    """Tokens of points in pixels, and of one more that is none; labels of any dtype."""
    fractions = graph.mul(points, graph.constant(1 / size))
    first = graph.mul(graph.part(fractions, 0, 1, axis=1), graph.constant(0.0))
    whole = graph.whole(labels)
    none = graph.add(graph.mul(graph.part(whole, 0, 1, axis=1), graph.constant(0)), graph.constant(-1))
    points, labels = graph.concat([fractions, first], axis=1), graph.concat([whole, none], axis=1)
    return point_tokens(graph, points, labels, size)


def _ailia_encoder(network: Network) -> bytes:
    graph, (config, size) = Graph("image_encoder", network.tensors), (network.config, network.size)
    features = encoded(graph, config, size, graph.input("input_image", [1, 3, size, size]))
    sides = [size // stride for stride in (4, 8, 16)]
    widths = [config.channels // 8, config.channels // 4, config.channels]
    graph.output("vision_features", features.stride16, [1, config.channels, sides[2], sides[2]])
    for level, side in enumerate(sides):
        table = _sine_map(graph, side, config.channels)
        graph.output(f"vision_pos_enc_{level}", table, [1, config.channels, side, side])
    for level, (x, side, width) in enumerate(zip(features, sides, widths, strict=True)):
        graph.output(f"backbone_fpn_{level}", x, [1, width, side, side])
    return graph.file()


def _sine_map(graph: Graph, side: int, channels: int) -> str:
    """(1, C, H, W): the sine table of a map, spread out of one row and one column."""
    waves = sine_waves(side, channels).T
    shape = graph.constant(np.array([1, channels // 2, side, side]))
    spread = [
        graph.op("Expand", graph.constant(line), shape) for line in (waves[None, :, :, None], waves[None, :, None])
    ]
    return graph.concat(spread, axis=1)


def _ailia_prompts(network: Network) -> bytes:
    graph, channels, side = Graph("prompt_encoder", network.tensors), network.config.channels, network.size // 16
    points = graph.input("coords", ["b", "n", 2])
    labels = graph.input("labels", ["b", "n"], "int32")
    mask = graph.input("masks", ["b", 1, 4 * side, 4 * side])
    masked = graph.op("Greater", graph.input("masks_enable", [1], "int32"), graph.constant(np.int32(0)))
    tokens = _padded_tokens(graph, points, labels, network.size)
    dense = graph.planes(mask_pixels(graph, mask, masked, side), channels, side)
    graph.output("sparse_embeddings", tokens, ["b", "n_and_one", channels])
    graph.output("dense_embeddings", dense, ["b", channels, side, side])
    places = graph.planes(place_table(graph, side), channels, side)
    graph.output("dense_pe", places, [1, channels, side, side])
    return graph.file()


def _ailia_decoder(network: Network) -> bytes:
    graph, channels, side = Graph("mask_decoder", network.tensors), network.config.channels, network.size // 16
    square = [1, channels, side, side]
    image, places = graph.input("image_embeddings", square), graph.input("image_pe", square)
    prompts = graph.input("sparse_prompt_embeddings", [1, "n", channels])
    dense = graph.input("dense_prompt_embeddings", square)
    stride4 = graph.input("high_res_features1", [1, channels // 8, 4 * side, 4 * side])
    stride8 = graph.input("high_res_features2", [1, channels // 4, 2 * side, 2 * side])
    pixels = graph.pixels(graph.add(image, dense), channels, side)
    looking = Looking(graph, side, graph.pixels(places, channels, side))
    found = find(looking, pixels, prompts, (stride8, stride4))
    graph.output("masks", found.logits, [1, MASKS, 4 * side, 4 * side])
    graph.output("iou_pred", found.iou, [1, MASKS])
    graph.output("sam_tokens_out", found.tokens, [1, MASKS, channels])
    graph.output("object_score_logits", found.object_score, [1, 1])
    return graph.file()
