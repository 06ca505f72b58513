"""Quantization of large layers to 8 bits. Attention scores, heads and small layers stay in float32."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

QUANTIZED_LAYERS = re.compile(
    r"trunk\.blocks\.\d+\.(attention\.(q|k|v|proj)|mlp\.(up|down)|shortcut)"
    r"|memory_attention\.layers\.\d+\.(up|down)"
    r"|memory_encoder\.fuser\.\d+\.(up|down)"
)
"""Names of the layers with most of the arithmetic and most of the weights."""

MAX_WEIGHT = 63  # 7 bits: with 8 bits, sums overflow on processors without VNNI instructions
Range = tuple[float, float]


class QuantizedMatrix(NamedTuple):
    """Integers (in, out), and the scale (out,) of each column."""

    values: NDArray[np.int8]
    scale: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Quantization:
    """Options for the quantization of large layers.

    Attributes:
        ranges: Calibrated ranges of the layers' inputs by layer name. Inputs of other layers are scaled dynamically.
        record_ranges: Do not quantize; add the range of each layer's input to the outputs (see `range_outputs`).
    """

    ranges: Mapping[str, Range] = field(default_factory=dict)
    record_ranges: bool = False

    def applies_to(self, name: str) -> bool:
        """Return whether the layer `name` is quantized."""
        return QUANTIZED_LAYERS.fullmatch(name) is not None

    def input_scale(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
        """Return scale and zero point of a layer's input, or None without a calibrated range.

        The range is extended to contain 0, which is represented exactly.
        """
        if name not in self.ranges:
            return None
        low, high = (min(self.ranges[name][0], 0.0), max(self.ranges[name][1], 0.0))
        scale = (high - low) / 255 or 1.0
        return np.array(scale, np.float32), np.array(round(-low / scale), np.uint8)


def range_outputs(name: str) -> tuple[str, str]:
    """Return the names of the outputs that hold the minimum and the maximum of a layer's input."""
    return f"{name}.least", f"{name}.greatest"


def quantize_matrix(matrix: NDArray[Any]) -> QuantizedMatrix:
    """Quantize a matrix (in, out) with one scale per column."""
    scale = np.abs(matrix).max(axis=0) / MAX_WEIGHT
    scale = np.where(scale > 0, scale, 1)
    return QuantizedMatrix(np.rint(matrix / scale).astype(np.int8), scale.astype(np.float32))
