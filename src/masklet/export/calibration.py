"""Calibration of int8 graphs: measures the ranges of the inputs of large layers, and of quantized maps, on images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.backends.onnx import OnnxBackend, Session, to_numpy
from masklet.export.sample_run import run_sample
from masklet.onnx_graphs import GRAPH_WRITERS, extract_tables, write_graph
from masklet.onnx_graphs.exported_model import ExportedModel
from masklet.onnx_graphs.quantization import QUANTIZED_MAPS, Quantization, Range, range_outputs


def measure_ranges(model: ExportedModel, images: Sequence[NDArray[np.uint8]]) -> dict[str, Range]:
    """Measure ranges in sample runs on `images` (H, W, 3).

    The range of a linear layer's input contains all its values. That of a map goes from the mean of its minima in
    single runs to the mean of its maxima: rare values beyond are clipped, and all others are rounded less.
    """
    ranges: _Ranges = defaultdict(list)
    write = partial(write_graph, model=model, quantization=Quantization(record_ranges=True))
    graphs = {name: _RangeRecorder(Session(name, partial(write, name)), ranges) for name in GRAPH_WRITERS}
    backend = OnnxBackend(model.config, model.input_size, "", graphs, extract_tables(model.tensors))
    for image in images:
        run_sample(backend, image)
    return {name: _join(runs, is_map=QUANTIZED_MAPS.fullmatch(name) is not None) for name, runs in ranges.items()}


_Ranges = dict[str, list[Range]]
"""The range of each layer's input and of each map in each run of its graph, by name."""


def _join(runs: list[Range], *, is_map: bool) -> Range:
    lows, highs = np.array(runs).T
    return (float(lows.mean()), float(highs.mean())) if is_map else (float(lows.min()), float(highs.max()))


class _RangeRecorder:
    """A graph that outputs the ranges of its layers, which are recorded in `ranges`."""

    def __init__(self, graph: Session, ranges: _Ranges) -> None:
        self._graph, self._ranges = graph, ranges

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        outputs: dict[str, Any] = self._graph(**inputs)
        suffix, _ = range_outputs("")
        for layer in [name.removesuffix(suffix) for name in outputs if name.endswith(suffix)]:
            low, high = (float(to_numpy(outputs[name])) for name in range_outputs(layer))
            self._ranges[layer].append((low, high))
        return outputs
