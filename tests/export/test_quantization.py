"""Rounded to eight bits: by ranges that were seen or each time anew, and what that costs."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from masklet.backends import onnx as onnx_backend
from masklet.export.calibration import measure_ranges
from masklet.export.quantization_error import measure_errors
from masklet.export.sample_run import CLICKS_PER_SIDE, NUM_FRAMES, run_sample
from masklet.onnx_graphs import GRAPH_WRITERS, GraphName, write_graph
from masklet.onnx_graphs.quantization import Quantization, Range
from parity.inputs import frames
from support.networks import make_model

SIZE = 32
PICTURES = list(frames(2, 60, 80, 3))
NETWORK = make_model("nano", SIZE, calm=True)


@cache
def ranges() -> dict[str, Range]:
    return measure_ranges(NETWORK, PICTURES)


def backend(dtype: str = "float32") -> onnx_backend.OnnxBackend:
    return onnx_backend.build(NETWORK.config, NETWORK.tensors, dtype=dtype, input_size=SIZE)


def kinds(verb: GraphName, rounding: Quantization) -> list[str]:
    onnx = pytest.importorskip("onnx")
    written = onnx.load_from_string(write_graph(verb, NETWORK, "int8", rounding))
    return [node.op_type for node in written.graph.node]


def test_a_picture_is_clicked_on_and_then_followed() -> None:
    found = run_sample(backend(), PICTURES[0])
    assert [len(masks) for masks in found] == [CLICKS_PER_SIDE**2, *[1] * NUM_FRAMES]


def test_the_ranges_of_all_rounded_layers_are_seen() -> None:
    rounded = sum(kinds(verb, Quantization()).count("MatMulInteger") for verb in GRAPH_WRITERS)
    assert len(ranges()) == rounded > 40
    assert all(np.isfinite([low, high]).all() and low < high for low, high in ranges().values())


def test_more_pictures_only_widen_the_ranges() -> None:
    for name, (low, high) in measure_ranges(NETWORK, PICTURES[:1]).items():
        assert ranges()[name][0] <= low and high <= ranges()[name][1]


@pytest.mark.parametrize("verb", ["encode", "attend", "memorize"])
def test_what_flows_is_scaled_by_the_ranges_or_each_time_anew(verb: GraphName) -> None:
    dynamic, static = kinds(verb, Quantization()), kinds(verb, Quantization(ranges()))
    assert "DynamicQuantizeLinear" in dynamic and "QuantizeLinear" not in dynamic
    assert "QuantizeLinear" in static and "DynamicQuantizeLinear" not in static


def test_a_model_that_is_not_rounded_costs_nothing() -> None:
    assert all(
        (cost.mean_iou, cost.lowest_iou) == (1, 1) for cost in measure_errors(backend(), backend(), PICTURES[:1])
    )


def test_the_cost_of_each_graph_alone_is_told() -> None:
    costs = {cost.graph: cost.mean_iou for cost in measure_errors(backend(), backend("int8"), PICTURES[:1])}
    assert costs["decode"] == 1 > costs["encode"] > 0.5
    assert costs["attend"] > costs["encode"] and costs["memorize"] > costs["encode"]
