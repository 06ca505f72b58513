"""Calibration of int8 graphs: measures the ranges of the inputs of large layers on images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.backends.onnx import OnnxBackend, Session, to_numpy
from masklet.export.sample_run import run_sample
from masklet.onnx_graphs import GRAPH_WRITERS, extract_tables, write_graph
from masklet.onnx_graphs.exported_model import ExportedModel
from masklet.onnx_graphs.quantization import Quantization, Range, range_outputs


def measure_ranges(model: ExportedModel, images: Sequence[NDArray[np.uint8]]) -> dict[str, Range]:
    """Measure the minimum and maximum of each large layer's input in sample runs on `images` (H, W, 3)."""
    ranges: dict[str, Range] = {}
    write = partial(write_graph, model=model, quantization=Quantization(record_ranges=True))
    graphs = {name: _RangeRecorder(Session(name, partial(write, name)), ranges) for name in GRAPH_WRITERS}
    backend = OnnxBackend(model.config, model.input_size, "", graphs, extract_tables(model.tensors))
    for image in images:
        run_sample(backend, image)
    return ranges


class _RangeRecorder:
    """A graph that outputs the ranges of its layers, which are recorded in `ranges`."""

    def __init__(self, graph: Session, ranges: dict[str, Range]) -> None:
        self._graph, self._ranges = graph, ranges

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        outputs: dict[str, Any] = self._graph(**inputs)
        suffix, _ = range_outputs("")
        for layer in [name.removesuffix(suffix) for name in outputs if name.endswith(suffix)]:
            low, high = (float(to_numpy(outputs[name])) for name in range_outputs(layer))
            before = self._ranges.get(layer, (low, high))
            self._ranges[layer] = min(low, before[0]), max(high, before[1])
        return outputs
