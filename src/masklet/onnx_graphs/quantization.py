"""Quantization of large layers to 8 bits. Attention scores, heads and small layers stay in float32.

Linear layers take quantized inputs and give float32. Convolutions take and give quantized maps, with one scale for each
map and for each output channel of the weights.
"""

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
"""Names of the linear layers with most of the arithmetic and most of the weights."""

MAX_WEIGHT = 63  # 7 bits: with 8 bits, sums overflow on processors without VNNI instructions
MAX_TAP = 127  # of a depthwise convolution, whose sums have 32 bits everywhere
MAX_PAIR = 128  # sum of the weights of two inputs, which processors without VNNI instructions add up in 16 bits
PAIR_SCALE = 124  # the largest of these sums before rounding
DAMPING = 0.01  # of the mean square of the inputs, added to the square of each; GPTQ's default
MAP_SUFFIX, MOMENTS_SUFFIX = ".map", ".moments"
Range = tuple[float, float]


class QuantizedMatrix(NamedTuple):
    """Integers (in, out), and the scale (out,) of each column."""

    values: NDArray[np.int8]
    scale: NDArray[np.float32]


class QuantizedKernel(NamedTuple):
    """The weights of a convolution as integers (out, in, k, k), its bias as integers (out,), and the scale (out,) of
    each."""

    values: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.int32]
    bias_scale: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Quantization:
    """Options for the quantization of large layers.

    Attributes:
        ranges: Calibrated ranges of the linear layers' inputs by layer name, and of maps by `name_map`. Inputs of other
            linear layers are scaled dynamically, other maps are not quantized.
        moments: Sums (in, in) of the products of the inputs of convolutions with 1 × 1 kernels, by layer name, over all
            pixels of the calibration. Weights of other layers are rounded to the nearest steps.
        is_recording: Do not quantize; add the range of each layer's input and of each map to the outputs (see
            `range_outputs`), and the moments (see `moments_output`).
    """

    ranges: Mapping[str, Range] = field(default_factory=dict)
    moments: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    is_recording: bool = False

    def applies_to(self, name: str) -> bool:
        """Return whether the linear layer `name` is quantized."""
        return QUANTIZED_LAYERS.fullmatch(name) is not None

    def scale_of(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
        """Return scale and zero point of a layer's input or of a map, or None without a calibrated range.

        The range is extended to contain 0, which is represented exactly.
        """
        if name not in self.ranges:
            return None
        low, high = (min(self.ranges[name][0], 0.0), max(self.ranges[name][1], 0.0))
        scale = (high - low) / 255 or 1.0
        return np.array(scale, np.float32), np.array(round(-low / scale), np.uint8)


def range_outputs(name: str) -> tuple[str, str]:
    """Return the names of the outputs that hold the minimum and the maximum of a layer's input or of a map."""
    return f"{name}.least", f"{name}.greatest"


def name_map(layer: str) -> str:
    """Return the name of the range of the map that a layer gives."""
    return f"{layer}{MAP_SUFFIX}"


def moments_output(layer: str) -> str:
    """Return the name of the output that holds the moments of a layer's input."""
    return f"{layer}{MOMENTS_SUFFIX}"


def quantize_matrix(matrix: NDArray[Any]) -> QuantizedMatrix:
    """Quantize a matrix (in, out) with one scale per column."""
    scale = np.abs(matrix).max(axis=0) / MAX_WEIGHT
    scale = np.where(scale > 0, scale, 1)
    return QuantizedMatrix(np.rint(matrix / scale).astype(np.int8), scale.astype(np.float32))


def quantize_kernel(
    weight: NDArray[Any],
    bias: NDArray[Any],
    input_scale: float,
    *,
    depthwise: bool,
    moments: NDArray[np.float64] | None = None,
) -> QuantizedKernel:
    """Quantize a convolution with one scale per output channel.

    The weights of a depthwise convolution are rounded so that their sum is kept, those of others by GPTQ.

    Args:
        weight: Weights (out, in, k, k).
        bias: Bias (out,).
        input_scale: Scale of the map that the convolution takes; that of the bias is its product with the weights'.
        depthwise: Whether each output has one input.
        moments: See `Quantization`. None: round to the nearest steps.
    """
    rows = weight.reshape(len(weight), -1)
    scale = np.abs(rows).max(axis=1) / MAX_TAP if depthwise else _sum_pairs(rows).max(axis=1) / PAIR_SCALE
    scale = np.maximum(scale, np.abs(bias) / (input_scale * 2**30))  # the bias has 32 bits
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    steps = rows / scale[:, None].astype(np.float64)
    values = _round_to_sum(steps) if depthwise else _round_to_moments(steps, moments)
    bias_scale = (scale * np.float32(input_scale)).astype(np.float32)
    offsets = np.rint(bias / bias_scale.astype(np.float64)).astype(np.int32)
    return QuantizedKernel(values.reshape(weight.shape).astype(np.int8), scale, offsets, bias_scale)


def _sum_pairs(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the largest sum of one sign of each two neighbors: (out, n) → (out, n / 2)."""
    pairs = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).reshape(len(rows), -1, 2)
    return np.asarray(np.maximum(pairs.clip(min=0).sum(axis=2), -pairs.clip(max=0).sum(axis=2)))


def _round_to_sum(steps: NDArray[Any]) -> NDArray[Any]:
    """Round (out, taps) so that the sum of each row is rounded too: flat areas of a map keep their level."""
    rounded = np.rint(steps)
    rest = steps - rounded
    missing = np.rint(rest.sum(axis=1))
    order = np.argsort(-rest * np.sign(missing)[:, None], axis=1, kind="stable")  # the taps nearest to the next step
    rank = np.argsort(order, axis=1, kind="stable")
    shifted = rounded + np.sign(missing)[:, None] * (rank < np.abs(missing)[:, None])
    return np.asarray(shifted.clip(-MAX_TAP, MAX_TAP))


def _round_to_moments(steps: NDArray[Any], moments: NDArray[np.float64] | None) -> NDArray[Any]:
    """Round (out, in) column by column; the next columns make up for the errors in the sums over inputs (GPTQ).

    Two neighbors of one sign have a sum of at most `MAX_PAIR`. Source: Frantar et al., arXiv 2210.17323, algorithm 1.
    """
    steps, values = steps.copy(), np.zeros_like(steps)
    factors = None if moments is None else _factor_inverse(moments)
    for column in range(steps.shape[1]):
        before = values[:, column - 1] if column % 2 else np.zeros(len(steps))
        low, high = -MAX_PAIR - before.clip(max=0), MAX_PAIR - before.clip(min=0)
        values[:, column] = np.rint(steps[:, column]).clip(low, high).clip(-MAX_TAP, MAX_TAP)
        if factors is not None:
            errors = (steps[:, column] - values[:, column]) / factors[column, column]
            steps[:, column:] -= np.outer(errors, factors[column, column:])
    return np.asarray(values)


def _factor_inverse(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the upper triangular matrix U with Uᵀ U = the inverse of the damped moments."""
    damping = DAMPING * np.trace(moments) / len(moments) + 1e-9
    inverse = np.linalg.inv(moments + damping * np.eye(len(moments)))
    return np.asarray(np.linalg.cholesky(inverse).T)
