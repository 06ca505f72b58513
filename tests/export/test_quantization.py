"""int8 quantization: calibrated or dynamic ranges, and the quantization error."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from masklet.backends import onnx as onnx_backend
from masklet.export.calibration import calibrate
from masklet.export.quantization_error import SAMPLED_GRAPHS, measure_errors
from masklet.export.sample_run import CLICKS_PER_SIDE, NUM_FRAMES, run_sample
from masklet.onnx_graphs import GraphName, write_graph
from masklet.onnx_graphs.quantization import Quantization, Range
from parity.inputs import frames
from support.networks import make_model

SIZE = 32
IMAGES = list(frames(2, 60, 80, 3))
NETWORK = make_model("nano", SIZE, calm=True)
LITE = make_model("lite-micro", 64, calm=True)


@cache
def measured_ranges() -> dict[str, Range]:
    return {**calibrate(NETWORK, IMAGES).ranges}


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
    for name, (low, high) in calibrate(NETWORK, IMAGES[:1]).ranges.items():
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


@cache
def lite_quantization() -> Quantization:
    return calibrate(LITE, IMAGES)


def list_quantized_layers() -> dict[str, list[str]]:
    """Names of the layers of the trunk at stride 32, by kind, and of the sums of its blocks."""
    blocks = LITE.config.mbconv_blocks[LITE.config.mbconv_ends[16] + 1 :]
    residual = [block for block in blocks if block.is_residual]
    return {
        "wide": [f"{block.name}.{layer}" for block in blocks for layer in ("expand", "depthwise")],
        "project": [f"{block.name}.project" for block in blocks[:-1]] + [f"{block.name}.project" for block in residual],
        "sum": [f"{block.name}.sum" for block in residual],
        "pointwise": [f"{block.name}.{layer}" for block in blocks for layer in ("expand", "project")],
    }


def encode_lite(quantization: Quantization | None) -> dict[str, Any]:
    session = onnx_backend.Session("encode", partial(write_graph, "encode", LITE, quantization=quantization))
    images = np.stack([image[:60, :60] for image in IMAGES]).repeat(2, 1).repeat(2, 2)[:, :64, :64]
    features = session(images=(images / 255 - 0.45).transpose(0, 3, 1, 2))
    return {name: onnx_backend.to_numpy(value) for name, value in features.items()}


def measure_lite_errors(quantization: Quantization) -> dict[str, float]:
    """Relative root mean square errors of the features."""
    exact, quantized = encode_lite(None), encode_lite(quantization)
    return {name: float(np.linalg.norm(quantized[name] - x) / np.linalg.norm(x)) for name, x in exact.items()}


def test_maps_and_moments_at_stride_32_are_measured() -> None:
    layers, first = list_quantized_layers(), LITE.config.mbconv_blocks[LITE.config.mbconv_ends[16]]
    ranges = {name.removesuffix(".map"): item for name, item in lite_quantization().ranges.items() if ".map" in name}
    last = f"{first.name}.{'sum' if first.is_residual else 'project'}"
    assert {*ranges} == {last, *layers["wide"], *layers["project"], *layers["sum"]}
    assert all(0 <= ranges[name][0] < ranges[name][1] <= 6 for name in layers["wide"])  # behind ReLU6
    moments = lite_quantization().moments
    assert {*moments} == {*layers["pointwise"]}
    for name, values in moments.items():
        assert len(values) == LITE.tensors[f"{name}.weight"].shape[1]
        assert np.linalg.eigvalsh(values).min() > -1e-3 * np.trace(values)


def test_the_range_of_a_map_is_the_mean_of_its_ranges_in_single_runs() -> None:
    name = f"{list_quantized_layers()['project'][0]}.map"
    single = [calibrate(LITE, [image]).ranges[name] for image in IMAGES]
    assert lite_quantization().ranges[name] == pytest.approx(np.mean(single, axis=0), rel=1e-5)


def test_convolutions_between_quantized_maps_are_fused_to_integers(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    content = write_graph("encode", LITE, quantization=lite_quantization())
    onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    layers = list_quantized_layers()
    assert kinds.count("QLinearConv") == len({*layers["wide"], *layers["project"]}) > 5
    assert kinds.count("Clip") == 0


def test_quantized_convolutions_give_nearly_the_same_features() -> None:
    errors = measure_lite_errors(lite_quantization())
    assert errors["stride4"] == errors["stride8"] == 0
    assert 1e-4 < errors["stride16"] < 0.05


def test_moments_reduce_the_error() -> None:
    nearest = Quantization(lite_quantization().ranges)
    assert measure_lite_errors(lite_quantization())["stride16"] < measure_lite_errors(nearest)["stride16"]


def test_convolutions_without_ranges_are_not_quantized() -> None:
    assert write_graph("encode", LITE, quantization=Quantization()) == write_graph("encode", LITE)
