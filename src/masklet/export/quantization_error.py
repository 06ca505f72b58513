"""Quantization error: IoU between the masks of a quantized model and those of the float32 model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.backends.onnx import OnnxBackend
from masklet.export.sample_run import run_sample
from masklet.masks.masks import Masks
from masklet.onnx_graphs import GraphName

SAMPLED_GRAPHS: tuple[GraphName, ...] = ("encode", "attend", "decode", "memorize")
"""The graphs that a sample run uses. `attend_scaled` has the layers of `attend`."""


class QuantizationError(NamedTuple):
    """Mean and lowest IoU over all masks of all images, with only `graph` quantized ("all": every graph)."""

    graph: str
    mean_iou: float
    lowest_iou: float


def measure_errors(
    exact: OnnxBackend, quantized: OnnxBackend, images: Sequence[NDArray[np.uint8]]
) -> Iterator[QuantizationError]:
    """Measure the error of each graph alone, then of all graphs together. Two empty masks have an IoU of 1.

    Args:
        exact: The model in float32.
        quantized: The same model, quantized.
        images: Arrays (H, W, 3), RGB.

    Yields:
        One error per graph, then one for "all".
    """
    expected = [run_sample(exact, image) for image in images]
    for graph in (*SAMPLED_GRAPHS, "all"):
        graphs = {name: (quantized if graph in (name, "all") else exact).graphs[name] for name in SAMPLED_GRAPHS}
        mixed = OnnxBackend(exact.config, exact.input_size, exact.identity, graphs, exact.tables)
        results = [run_sample(mixed, image) for image in images]
        pairs = zip(chain(*expected), chain(*results), strict=True)
        iou = np.concatenate([_compute_iou(*pair) for pair in pairs])
        yield QuantizationError(graph, float(iou.mean()), float(iou.min()))


def _compute_iou(expected: Masks, result: Masks) -> NDArray[np.float64]:
    intersection = (expected.binary & result.binary).sum(axis=(1, 2))
    union = (expected.binary | result.binary).sum(axis=(1, 2))
    return np.where(union > 0, intersection / np.maximum(union, 1), 1.0)
