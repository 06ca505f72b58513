"""Small networks with weights by formula, for tests of graphs and runtimes; needs no PyTorch."""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from masklet.checkpoints import key_names
from masklet.config import CONFIGS
from masklet.onnx_graphs.exported_model import Network
from masklet.onnx_graphs.tensor_shapes import expected_shapes
from parity.inputs import weights as by_formula

CALM = 0.1  # of a query's weights: less, and the last digit of a sum does not decide what is looked at


@cache
def network(name: str, size: int = 64, seed: int = 1, *, calm: bool = False) -> Network:
    """The configuration `name` for pictures of `size`, with its weights by formula.

    Random attention is so sharp that it makes much of float32's last digit, which trained attention does not; a `calm`
    network is softer.
    """
    shapes = {
        key_names.rename(ours, "ours", "released") or ours: list(shape)
        for ours, shape in expected_shapes(CONFIGS[name]).items()
    }
    tensors = key_names.to_ours({key: np.asarray(value) for key, value in by_formula(shapes, seed).items()})
    if calm:
        tensors = {key: value * _softness(key) for key, value in tensors.items()}
    return Network(CONFIGS[name], tensors, size)


def _softness(name: str) -> np.float32:
    return np.float32(CALM if re.search(r"\.(q|qkv)\.weight$", name) else 1)
