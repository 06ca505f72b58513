"""The methods of `Sam2` on random inputs, which graphs are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from masklet.backend import Features
from masklet.config import CONFIGS
from masklet.model.sam2 import Sam2
from masklet.onnx_graphs import GraphName
from support.networks import make_model

Inputs = dict[str, NDArray[Any]]


class Counts(NamedTuple):
    """Sizes of the inputs: images, objects or prompts, and the points, masks, memories and pointers of each."""

    images: int = 1
    objects: int = 1
    points: int = 2
    masks: int = 1
    memories: int = 1
    pointers: int = 1


@cache
def load_network(name: str, input_size: int, dtype: str = "float64", *, calm: bool = False) -> Sam2:
    """Load `Sam2`, with the epsilons of its norms rounded to float32 as in ONNX files."""
    with torch.device("meta"):
        model = Sam2(CONFIGS[name])
    for norm in model.modules():
        if isinstance(norm, torch.nn.LayerNorm):
            norm.eps = float(np.float32(norm.eps))
    tensors = make_model(name, input_size, calm=calm).tensors
    model.load_state_dict({key: torch.from_numpy(value) for key, value in tensors.items()}, assign=True)
    return model.to(getattr(torch, dtype)).eval().requires_grad_(False)


def make_inputs(graph: GraphName, name: str, input_size: int, counts: Counts) -> Inputs:
    """Make a graph's inputs by name, in float64, for the configuration `name`."""
    rng, config, side = np.random.default_rng(list(counts)), CONFIGS[name], input_size // 16
    stride16 = rng.standard_normal((counts.images, config.channels, side, side))
    if graph == "encode":
        return {"images": rng.standard_normal((counts.images, 3, input_size, input_size))}
    if graph in ("attend", "attend_scaled"):
        memories = _make_memories(rng, name, input_size, counts)
        scales = _make_scales(rng, counts) if graph == "attend_scaled" else {}
        return {"stride16": stride16, **memories, **scales}
    if graph == "decode":
        finer = _make_finer_features(rng, name, side) if config.high_resolution else {}
        return {"stride16": stride16, **finer, **_make_prompts(rng, side, counts)}
    return {
        "stride16": stride16,
        "logits": 5 * rng.standard_normal((counts.objects, 1, 4 * side, 4 * side)),
        "score": rng.standard_normal((counts.objects, 1)),
        "binarize": np.arange(counts.objects) % 2 == 0,
    }


def _make_memories(rng: np.random.Generator, name: str, input_size: int, counts: Counts) -> Inputs:
    config, objects = CONFIGS[name], counts.objects
    return {
        "memories": rng.standard_normal((objects, counts.memories, *config.memory_shape(input_size))),
        "slots": rng.integers(0, 7, (objects, counts.memories)),
        "pointers": rng.standard_normal((objects, counts.pointers, config.channels)),
        "times": rng.uniform(-1, 1, (objects, counts.pointers)),
    }


def _make_scales(rng: np.random.Generator, counts: Counts) -> Inputs:
    return {
        "map_scales": rng.uniform(0.5, 1.5, (counts.objects, counts.memories)),
        "pointer_scales": rng.uniform(0.5, 1.5, (counts.objects, counts.pointers)),
    }


def _make_finer_features(rng: np.random.Generator, name: str, side: int) -> Inputs:
    fine, medium, _ = CONFIGS[name].feature_channels
    return {
        "stride4": rng.standard_normal((1, fine, 4 * side, 4 * side)),
        "stride8": rng.standard_normal((1, medium, 2 * side, 2 * side)),
    }


def _make_prompts(rng: np.random.Generator, side: int, counts: Counts) -> Inputs:
    shape = counts.objects, counts.points
    return {
        "points": rng.random((*shape, 2)),
        "labels": rng.integers(-1, 4, shape),
        "present": rng.random(shape) > 0.3,
        "mask": rng.standard_normal((counts.masks, 1, 4 * side, 4 * side)),
        "masked": rng.random(counts.masks) > 0.4,
    }


def run_method(model: Sam2, graph: GraphName, given: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Run the method on a graph's inputs, and return its results in the order of the graph's outputs."""
    tensors = {key: torch.from_numpy(value) for key, value in given.items()}
    like = model.no_pointer.dtype
    tensors = {key: value.to(like) if value.is_floating_point() else value for key, value in tensors.items()}
    if graph == "encode":
        return [level.numpy() for level in model.encode(tensors["images"]) if level.shape[1]]
    features = Features(*(tensors.pop(key, torch.empty(0)) for key in Features._fields))
    if graph == "attend":
        return [model.attend(features, **tensors).stride16.numpy()]
    if graph == "attend_scaled":
        scales = tensors.pop("map_scales"), tensors.pop("pointer_scales")
        return [model.attend(features, **tensors, scales=scales).stride16.numpy()]
    if graph == "memorize":
        return [model.memorize(features, **tensors).numpy()]
    count = len(tensors["points"])
    for key in ("mask", "masked"):
        tensors[key] = tensors[key].expand(count, *tensors[key].shape[1:])
    return [part.numpy() for part in model.decode(features, **tensors)]
