"""The four methods of `Sam2` on random inputs: what graphs are compared with."""

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
from masklet.onnx_graphs import Verb
from support.networks import network

Inputs = dict[str, NDArray[Any]]


class Counts(NamedTuple):
    """How many of everything: features of their own, objects or prompts, and what each of these brings."""

    seen: int = 1
    objects: int = 1
    points: int = 2
    masks: int = 1
    memories: int = 1
    pointers: int = 1


@cache
def method_model(name: str, size: int, dtype: str = "float64", *, calm: bool = False) -> Sam2:
    """`Sam2` with the epsilons of its norms as ONNX files hold them: in float32."""
    with torch.device("meta"):
        made = Sam2(CONFIGS[name])
    for norm in made.modules():
        if isinstance(norm, torch.nn.LayerNorm):
            norm.eps = float(np.float32(norm.eps))
    tensors = network(name, size, calm=calm).tensors
    made.load_state_dict({key: torch.from_numpy(value) for key, value in tensors.items()}, assign=True)
    return made.to(getattr(torch, dtype)).eval().requires_grad_(False)


def inputs(verb: Verb, name: str, size: int, counts: Counts) -> Inputs:
    """A graph's inputs by name, in float64; `seen` pictures are encoded."""
    rng, config, side = np.random.default_rng(list(counts)), CONFIGS[name], size // 16
    stride16 = rng.standard_normal((counts.seen, config.channels, side, side))
    if verb == "encode":
        return {"images": rng.standard_normal((counts.seen, 3, size, size))}
    if verb == "attend":
        return {"stride16": stride16, **_memories(rng, name, side, counts)}
    if verb == "decode":
        return {"stride16": stride16, **_prompts(rng, name, side, counts)}
    return {
        "stride16": stride16,
        "logits": 5 * rng.standard_normal((counts.objects, 1, 4 * side, 4 * side)),
        "score": rng.standard_normal((counts.objects, 1)),
        "binarize": np.arange(counts.objects) % 2 == 0,
    }


def _memories(rng: np.random.Generator, name: str, side: int, counts: Counts) -> Inputs:
    config, objects = CONFIGS[name], counts.objects
    return {
        "memories": rng.standard_normal((objects, counts.memories, config.memory_channels, side, side)),
        "slots": rng.integers(0, 7, (objects, counts.memories)),
        "pointers": rng.standard_normal((objects, counts.pointers, config.channels)),
        "times": rng.uniform(-1, 1, (objects, counts.pointers)),
    }


def _prompts(rng: np.random.Generator, name: str, side: int, counts: Counts) -> Inputs:
    channels, asked = CONFIGS[name].channels, (counts.objects, counts.points)
    return {
        "stride4": rng.standard_normal((1, channels // 8, 4 * side, 4 * side)),
        "stride8": rng.standard_normal((1, channels // 4, 2 * side, 2 * side)),
        "points": rng.random((*asked, 2)),
        "labels": rng.integers(-1, 4, asked),
        "present": rng.random(asked) > 0.3,
        "mask": rng.standard_normal((counts.masks, 1, 4 * side, 4 * side)),
        "masked": rng.random(counts.masks) > 0.4,
    }


def answers(model: Sam2, verb: Verb, given: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """What the method says to a graph's inputs, in the order of the graph's outputs."""
    tensors = {key: torch.from_numpy(value) for key, value in given.items()}
    like = model.no_pointer.dtype
    tensors = {key: value.to(like) if value.is_floating_point() else value for key, value in tensors.items()}
    if verb == "encode":
        return [level.numpy() for level in model.encode(tensors["images"])]
    features = Features(*(tensors.pop(key, torch.empty(0)) for key in Features._fields))
    if verb == "attend":
        return [model.attend(features, **tensors).stride16.numpy()]
    if verb == "memorize":
        return [model.memorize(features, **tensors).numpy()]
    count = len(tensors["points"])
    for key in ("mask", "masked"):
        tensors[key] = tensors[key].expand(count, *tensors[key].shape[1:])
    return [part.numpy() for part in model.decode(features, **tensors)]
