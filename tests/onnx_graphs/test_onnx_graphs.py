"""Every graph equals its method of `Sam2`, for any numbers of images, objects, points and memories.

ONNX's reference implementation agrees to 1e-9 in float64, onnxruntime to 1e-4 in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.backends.onnx import Session, describe_graph, to_numpy
from masklet.config import CONFIGS
from masklet.onnx_graphs import GRAPH_WRITERS, GraphName, write_graph
from masklet.onnx_graphs.quantization import Quantization, quantize_matrix
from masklet.onnx_graphs.tensor_shapes import list_tensor_shapes
from support.networks import make_model

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from onnx.reference import ReferenceEvaluator  # noqa: E402
from onnx.reference.op_run import OpRun  # noqa: E402

from masklet.model.sam2 import Sam2  # noqa: E402
from support.graph_methods import Counts, load_network, make_inputs, run_method  # noqa: E402

SLOW_NAMES = [pytest.param(name, marks=pytest.mark.slow) for name in ("sam2-micro", "nano")]
TOLERANCE_FLOAT64 = 1e-9  # relative to the largest value
TOLERANCE_FLOAT32 = 1e-4  # the same, for a calm network
COUNTS: list[tuple[GraphName, Counts]] = [
    ("encode", Counts()),
    ("encode", Counts(images=2)),
    ("attend", Counts()),
    ("attend", Counts(objects=3, memories=4, pointers=3)),
    ("attend", Counts(objects=2, memories=7, pointers=16)),  # as many tokens of pointers as a small map has
    ("attend", Counts(images=2, objects=2, memories=2, pointers=0)),
    ("attend_scaled", Counts(objects=2, memories=3, pointers=2)),
    ("attend_scaled", Counts(images=2, objects=2, pointers=0)),
    ("decode", Counts()),
    ("decode", Counts(objects=3, points=4)),
    ("decode", Counts(images=3, objects=3, masks=3)),
    ("decode", Counts(objects=2, points=0, masks=2)),
    ("memorize", Counts()),
    ("memorize", Counts(objects=3)),
    ("memorize", Counts(images=2, objects=2)),
]

RELATIVE_SIZES = {
    "edgetam-micro": 128,  # a grid of 8 × 8 patch latents
    "efficienttam-micro": 96,  # of 6 × 6 tokens; windows of 14 × 14 reach over the edge
    "efficienttam-micro-1": 64,
    "efficienttam-micro-2": 64,
    "edgetam": 256,
    "efficienttam-s": 512,  # windows of which the last ones reach over the edge
    "efficienttam-ti-1": 256,
    "efficienttam-ti-2": 256,
}
SEVERAL = Counts(images=2, objects=2, memories=3, pointers=2)
RELATIVES: list[tuple[str, GraphName, Counts]] = [
    ("edgetam-micro", "encode", SEVERAL),
    ("edgetam-micro", "attend", SEVERAL),
    ("edgetam-micro", "attend_scaled", SEVERAL),
    ("edgetam-micro", "memorize", SEVERAL),
    ("efficienttam-micro", "encode", SEVERAL),
    ("efficienttam-micro", "decode", SEVERAL),
    ("efficienttam-micro-1", "attend", Counts()),  # a single map is not pooled
    ("efficienttam-micro-1", "attend", SEVERAL),
    ("efficienttam-micro-2", "attend", Counts()),
    ("efficienttam-micro-2", "attend_scaled", SEVERAL),
]
SLOW_RELATIVES: list[tuple[str, GraphName, Counts]] = [
    *(("edgetam-micro", graph, counts) for graph, counts in COUNTS),
    *(("efficienttam-micro", graph, counts) for graph, counts in COUNTS if graph in ("encode", "decode")),
    *(
        (f"efficienttam-micro-{pooling}", graph, counts)
        for pooling in (1, 2)
        for graph, counts in COUNTS
        if graph in ("attend", "attend_scaled")
    ),
    ("edgetam", "encode", Counts()),
    ("edgetam", "attend", SEVERAL),
    ("edgetam", "memorize", SEVERAL),
    ("efficienttam-s", "encode", Counts()),
    ("efficienttam-s", "decode", SEVERAL),
    ("efficienttam-ti-1", "encode", Counts()),
    ("efficienttam-ti-1", "attend", SEVERAL),
    ("efficienttam-ti-2", "attend", SEVERAL),
]


class Gelu(OpRun):  # type: ignore[misc]
    """GELU in full precision: that of ONNX's reference implementation has √2 to seven digits."""

    def _run(self, x: NDArray[np.float64], approximate: str) -> tuple[NDArray[np.float64]]:
        return (torch.nn.functional.gelu(torch.from_numpy(x)).numpy(),)


@cache
def exact(name: str, size: int, graph: GraphName) -> Any:
    """Load a graph in float64 in ONNX's reference implementation."""
    proto = onnx.load_from_string(write_graph(graph, make_model(name, size), "float64"))
    return ReferenceEvaluator(proto, new_ops=[Gelu])


@cache
def session(name: str, graph: GraphName, size: int = 64) -> Session:
    """Make a session of onnxruntime for a graph of a calm network in float32."""
    return Session(graph, partial(write_graph, graph, make_model(name, size, calm=True)))


def assert_close(found: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]], tolerance: float) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= tolerance * np.abs(other).max()


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # in the reference implementation's sigmoid
@pytest.mark.parametrize("name", ["sam2.1-micro", *SLOW_NAMES])
@pytest.mark.parametrize(("graph", "counts"), COUNTS, ids=str)
def test_a_graph_equals_its_method_in_float64(graph: GraphName, counts: Counts, name: str) -> None:
    given = make_inputs(graph, name, 64, counts)
    assert_close(
        exact(name, 64, graph).run(None, given), run_method(load_network(name, 64), graph, given), TOLERANCE_FLOAT64
    )


@pytest.mark.parametrize("name", ["sam2.1-micro", *SLOW_NAMES])
@pytest.mark.parametrize(("graph", "counts"), COUNTS, ids=str)
def test_a_graph_on_onnxruntime_equals_its_method_in_float32(graph: GraphName, counts: Counts, name: str) -> None:
    given = make_inputs(graph, name, 64, counts)
    found = [to_numpy(value) for value in session(name, graph)(**given).values()]
    assert_close(found, run_method(load_network(name, 64, "float32", calm=True), graph, given), TOLERANCE_FLOAT32)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
@pytest.mark.parametrize(
    ("name", "graph", "counts"),
    [*RELATIVES, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW_RELATIVES if case not in RELATIVES)],
    ids=str,
)
def test_graphs_of_edgetam_and_efficienttam_equal_their_methods(name: str, graph: GraphName, counts: Counts) -> None:
    given = make_inputs(graph, name, RELATIVE_SIZES[name], counts)
    expected = run_method(load_network(name, RELATIVE_SIZES[name]), graph, given)
    assert_close(exact(name, RELATIVE_SIZES[name], graph).run(None, given), expected, TOLERANCE_FLOAT64)
    expected = run_method(load_network(name, RELATIVE_SIZES[name], "float32", calm=True), graph, given)
    found = [to_numpy(value) for value in session(name, graph, RELATIVE_SIZES[name])(**given).values()]
    assert_close(found, expected, TOLERANCE_FLOAT32)


@pytest.mark.parametrize("size", [*(pytest.param(size, marks=pytest.mark.slow) for size in (32, 128)), 224])
def test_encode_equals_its_method_with_and_without_padded_windows(size: int) -> None:
    given = make_inputs("encode", "sam2.1-micro", size, Counts())
    expected = run_method(load_network("sam2.1-micro", size), "encode", given)
    assert_close(exact("sam2.1-micro", size, "encode").run(None, given), expected, TOLERANCE_FLOAT64)


@pytest.mark.parametrize("images", [1, 2])
def test_encode_with_efficientnet_lite_equals_its_method(images: int) -> None:
    given = make_inputs("encode", "lite-micro", 64, Counts(images=images))
    expected = run_method(load_network("lite-micro", 64), "encode", given)
    assert_close(exact("lite-micro", 64, "encode").run(None, given), expected, TOLERANCE_FLOAT64)
    found = [to_numpy(value) for value in session("lite-micro", "encode")(**given).values()]
    expected = run_method(load_network("lite-micro", 64, "float32", calm=True), "encode", given)
    assert_close(found, expected, TOLERANCE_FLOAT32)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize(
    ("name", "graph"),
    [
        ("lite-micro", "encode"),
        ("edgetam-micro", "encode"),
        ("edgetam-micro", "attend_scaled"),
        ("edgetam-micro", "memorize"),
        ("efficienttam-micro-1", "encode"),
        ("efficienttam-micro-1", "decode"),
        ("efficienttam-micro-1", "attend"),
        ("efficienttam-micro-2", "attend_scaled"),
    ],
)
def test_graphs_of_other_networks_pass_the_onnx_checker(name: str, graph: GraphName, dtype: str) -> None:
    size = RELATIVE_SIZES.get(name, 64)
    proto = onnx.load_from_string(write_graph(graph, make_model(name, size), dtype))
    onnx.checker.check_model(proto, full_check=True)


def test_encode_is_written_for_attention_chunks_of_different_sizes() -> None:
    assert (
        describe_graph("encode", write_graph("encode", make_model("nano", 2784)))["outputs"]["stride16"]["shape"][2]
        == 174
    )


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float16", "int8"])
@pytest.mark.parametrize("graph", GRAPH_WRITERS)
def test_a_graph_passes_the_onnx_checker_and_has_no_custom_or_complex_parts(graph: GraphName, dtype: str) -> None:
    proto = onnx.load_from_string(write_graph(graph, make_model("sam2.1-micro"), dtype))
    onnx.checker.check_model(proto, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    assert [(one.domain, one.version >= 17) for one in proto.opset_import] == [("", True)]
    assert {node.domain for node in proto.graph.node} == {""}
    complex_ = {onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128}
    assert not complex_ & {value.type.tensor_type.elem_type for value in inferred.graph.value_info}


def test_float16_halves_a_file_and_int8_quarters_its_large_layers() -> None:
    full, half, small = (
        len(write_graph("encode", make_model("sam2.1-micro"), dtype)) for dtype in ("float32", "float16", "int8")
    )
    assert half < 0.51 * full
    assert small < 0.35 * full


@pytest.mark.parametrize("name", CONFIGS)
def test_the_listed_shapes_are_those_of_the_network(name: str) -> None:
    with torch.device("meta"):
        state = Sam2(CONFIGS[name]).state_dict()
    assert list_tensor_shapes(CONFIGS[name]) == {key: tuple(value.shape) for key, value in state.items()}


def test_a_quantized_matrix_has_an_error_of_half_a_step_in_every_column() -> None:
    matrix = np.random.default_rng(5).standard_normal((40, 3)) * [1, 100, 0]
    numbers, scale = quantize_matrix(matrix)
    assert np.abs(numbers).max() <= 63  # seven bits
    assert (np.abs(numbers * scale - matrix) <= scale / 2 + 1e-6).all()


def test_only_large_layers_are_quantized() -> None:
    kinds = {
        graph: sum(
            node.op_type == "MatMulInteger"
            for node in onnx.load_from_string(write_graph(graph, make_model("sam2.1-micro"), "int8")).graph.node
        )
        for graph in GRAPH_WRITERS
    }
    assert kinds["decode"] == 0  # its layers are small, and the masks depend on them directly
    assert kinds["encode"] == 7 * 6 + 3  # q, k, v, proj, up and down of each block, and three shortcuts
    assert kinds["attend"] == kinds["attend_scaled"] == 4 * 2
    assert kinds["memorize"] == 2 * 2


def test_a_calibrated_range_contains_zero() -> None:
    step = Quantization({"layer": (2.0, 6.0)}).scale_of("layer")
    assert step is not None
    assert (float(step[0]), int(step[1])) == (np.float32(6 / 255), 0)
    assert Quantization().scale_of("layer") is None
