"""Calibration of int8 graphs: measures the inputs of large layers, and quantized maps, on images."""

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
from masklet.onnx_graphs.quantization import MAP_SUFFIX, MOMENTS_SUFFIX, Quantization, Range, range_outputs


def calibrate(model: ExportedModel, images: Sequence[NDArray[np.uint8]]) -> Quantization:
    """Measure ranges and moments in sample runs on `images` (H, W, 3).

    The range of a linear layer's input contains all its values. That of a map goes from the mean of its minima in
    single runs to the mean of its maxima: rare values beyond are clipped, and all others are rounded less.
    """
    record = _Record()
    write = partial(write_graph, model=model, quantization=Quantization(is_recording=True))
    graphs = {name: _RecordedGraph(Session(name, partial(write, name)), record) for name in GRAPH_WRITERS}
    backend = OnnxBackend(model.config, model.input_size, "", graphs, extract_tables(model.tensors))
    for image in images:
        run_sample(backend, image)
    ranges = {name: _join(runs, is_map=name.endswith(MAP_SUFFIX)) for name, runs in record.ranges.items()}
    return Quantization(ranges, record.moments)


class _Record:
    """What was measured, by layer name: the range in each run of the graph, and the sum of the moments of all runs."""

    def __init__(self) -> None:
        self.ranges: dict[str, list[Range]] = defaultdict(list)
        self.moments: dict[str, NDArray[np.float64]] = {}


class _RecordedGraph:
    """A graph whose outputs are recorded."""

    def __init__(self, graph: Session, record: _Record) -> None:
        self._graph, self._record = graph, record

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        outputs: dict[str, Any] = self._graph(**inputs)
        suffix, _ = range_outputs("")
        for layer in [name.removesuffix(suffix) for name in outputs if name.endswith(suffix)]:
            low, high = (float(to_numpy(outputs[name])) for name in range_outputs(layer))
            self._record.ranges[layer].append((low, high))
        for name in [name for name in outputs if name.endswith(MOMENTS_SUFFIX)]:
            layer, moments = name.removesuffix(MOMENTS_SUFFIX), to_numpy(outputs[name]).astype(np.float64)
            self._record.moments[layer] = self._record.moments.get(layer, 0) + moments
        return outputs


def _join(runs: list[Range], *, is_map: bool) -> Range:
    lows, highs = np.array(runs).T
    return (float(lows.mean()), float(highs.mean())) if is_map else (float(lows.min()), float(highs.max()))
