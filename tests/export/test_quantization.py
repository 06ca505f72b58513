"""int8 quantization: calibrated or dynamic ranges, and the quantization error."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from masklet.backends import onnx as onnx_backend
from masklet.export.calibration import measure_ranges
from masklet.export.quantization_error import SAMPLED_GRAPHS, measure_errors
from masklet.export.sample_run import CLICKS_PER_SIDE, NUM_FRAMES, run_sample
from masklet.onnx_graphs import GraphName, write_graph
from masklet.onnx_graphs.quantization import Quantization, Range
from parity.inputs import frames
from support.networks import make_model

SIZE = 32
IMAGES = list(frames(2, 60, 80, 3))
NETWORK = make_model("nano", SIZE, calm=True)


@cache
def measured_ranges() -> dict[str, Range]:
    return measure_ranges(NETWORK, IMAGES)


def backend(dtype: str = "float32") -> onnx_backend.OnnxBackend:
    return onnx_backend.build(NETWORK.config, NETWORK.tensors, dtype=dtype, input_size=SIZE)


def list_operators(name: GraphName, quantization: Quantization) -> list[str]:
    onnx = pytest.importorskip("onnx")
    proto = onnx.load_from_string(write_graph(name, NETWORK, "int8", quantization))
    return [node.op_type for node in proto.graph.node]


def test_a_sample_run_segments_a_grid_of_clicks_and_tracks() -> None:
    results = run_sample(backend(), IMAGES[0])
    assert [len(masks) for masks in results] == [CLICKS_PER_SIDE**2, *[1] * NUM_FRAMES]


def test_the_ranges_of_all_quantized_layers_are_measured() -> None:
    quantized = sum(list_operators(name, Quantization()).count("MatMulInteger") for name in SAMPLED_GRAPHS)
    assert len(measured_ranges()) == quantized > 40
    assert all(np.isfinite([low, high]).all() and low < high for low, high in measured_ranges().values())


def test_more_images_widen_the_ranges() -> None:
    for name, (low, high) in measure_ranges(NETWORK, IMAGES[:1]).items():
        assert measured_ranges()[name][0] <= low and high <= measured_ranges()[name][1]


@pytest.mark.parametrize("name", ["encode", "attend", "memorize"])
def test_activations_are_scaled_dynamically_or_by_calibrated_ranges(name: GraphName) -> None:
    dynamic, static = list_operators(name, Quantization()), list_operators(name, Quantization(measured_ranges()))
    assert "DynamicQuantizeLinear" in dynamic and "QuantizeLinear" not in dynamic
    assert "QuantizeLinear" in static and "DynamicQuantizeLinear" not in static


def test_a_model_that_is_not_quantized_has_no_error() -> None:
    errors = measure_errors(backend(), backend(), IMAGES[:1])
    assert all((error.mean_iou, error.lowest_iou) == (1, 1) for error in errors)


def test_the_error_of_each_graph_alone_is_measured() -> None:
    errors = measure_errors(backend(), backend("int8"), IMAGES[:1])
    iou = {error.graph: error.mean_iou for error in errors}
    assert iou["decode"] == 1 > iou["encode"] > 0.5
    assert iou["attend"] > iou["encode"] and iou["memorize"] > iou["encode"]
