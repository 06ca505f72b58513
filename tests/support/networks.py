"""Small networks with weights by formula, for tests of ONNX graphs and backends. Needs no PyTorch."""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from masklet.checkpoints import key_names
from masklet.config import CONFIGS
from masklet.onnx_graphs.exported_model import ExportedModel
from masklet.onnx_graphs.tensor_shapes import list_tensor_shapes
from parity.inputs import weights as weights_by_formula

CALM = 0.1  # factor of the query weights that makes attention insensitive to the last digit of a sum


@cache
def make_model(name: str, input_size: int = 64, seed: int = 1, *, calm: bool = False) -> ExportedModel:
    """Return the configuration `name` at `input_size` with weights by formula.

    Attention with random weights is so sharp that it amplifies float32's last digit; trained attention does not. A
    `calm` network has softer attention.
    """
    shapes = {
        key_names.rename_key(key, "masklet", "released") or key: list(shape)
        for key, shape in list_tensor_shapes(CONFIGS[name]).items()
    }
    tensors = key_names.to_masklet({key: np.asarray(value) for key, value in weights_by_formula(shapes, seed).items()})
    if calm:
        tensors = {key: value * _softness(key) for key, value in tensors.items()}
    return ExportedModel(CONFIGS[name], tensors, input_size)


def _softness(name: str) -> np.float32:
    return np.float32(CALM if re.search(r"\.(q|qkv)\.weight$", name) else 1)
