"""What rounding costs: how much the masks of a rounded model overlap those of the model itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.backends.onnx import OnnxBackend
from masklet.export.sample_run import run_sample
from masklet.masks.masks import Masks
from masklet.onnx_graphs import GRAPH_WRITERS


class QuantizationError(NamedTuple):
    """Overlap of masks where only this `graph` is rounded ("all": where all are), over all pictures."""

    graph: str
    mean_iou: float
    lowest_iou: float


def measure_errors(
    exact: OnnxBackend, quantized: OnnxBackend, images: Sequence[NDArray[np.uint8]]
) -> Iterator[QuantizationError]:
    """The cost of each graph alone, then of all together; two empty masks overlap fully."""
    wanted = [run_sample(exact, picture) for picture in images]
    for graph in (*GRAPH_WRITERS, "all"):
        graphs = {verb: (quantized if graph in (verb, "all") else exact).graphs[verb] for verb in GRAPH_WRITERS}
        mixed = OnnxBackend(exact.config, exact.input_size, exact.identity, graphs, exact.tables)
        found = [run_sample(mixed, picture) for picture in images]
        pairs = zip(chain(*wanted), chain(*found), strict=True)
        overlaps = np.concatenate([_overlaps(*pair) for pair in pairs])
        yield QuantizationError(graph, float(overlaps.mean()), float(overlaps.min()))


def _overlaps(wanted: Masks, found: Masks) -> NDArray[np.float64]:
    shared = (wanted.binary & found.binary).sum(axis=(1, 2))
    joined = (wanted.binary | found.binary).sum(axis=(1, 2))
    return np.where(joined > 0, shared / np.maximum(joined, 1), 1.0)
