"""Every graph is its method of `Sam2`, with any number of everything: to the last digits in float64 by ONNX's own
reference implementation, and to 1e-4 in float32 by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.backends.onnx import Session, described, host
from masklet.config import CONFIGS
from masklet.onnx_graphs import VERBS, Verb, write_graph
from masklet.onnx_graphs.quantization import Rounding, rounded
from masklet.onnx_graphs.tensor_shapes import expected_shapes
from support.networks import network

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from onnx.reference import ReferenceEvaluator  # noqa: E402
from onnx.reference.op_run import OpRun  # noqa: E402

from masklet.model.sam2 import Sam2  # noqa: E402
from support.graph_methods import Counts, answers, inputs, method_model  # noqa: E402

OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("sam2-micro", "nano")]
EXACT = 1e-9  # in float64, of the largest number; what random networks make of its last digit
CLOSE = 1e-4  # in float32, likewise, of a calm network
COUNTS: list[tuple[Verb, Counts]] = [
    ("encode", Counts()),
    ("encode", Counts(seen=2)),
    ("attend", Counts()),
    ("attend", Counts(objects=3, memories=4, pointers=3)),
    ("attend", Counts(objects=2, memories=7, pointers=16)),  # as many tokens of pointers as a small map has
    ("attend", Counts(seen=2, objects=2, memories=2, pointers=0)),
    ("decode", Counts()),
    ("decode", Counts(objects=3, points=4)),
    ("decode", Counts(seen=3, objects=3, masks=3)),
    ("decode", Counts(objects=2, points=0, masks=2)),
    ("memorize", Counts()),
    ("memorize", Counts(objects=3)),
    ("memorize", Counts(seen=2, objects=2)),
]


class Gelu(OpRun):  # type: ignore[misc]
    """ONNX's own knows the root of 2 to seven digits only."""

    def _run(self, x: NDArray[np.float64], approximate: str) -> tuple[NDArray[np.float64]]:
        return (torch.nn.functional.gelu(torch.from_numpy(x)).numpy(),)


@cache
def exact(name: str, size: int, verb: Verb) -> Any:
    """A graph in float64, which ONNX's own reference implementation runs."""
    written = onnx.load_from_string(write_graph(verb, network(name, size), "float64"))
    return ReferenceEvaluator(written, new_ops=[Gelu])


@cache
def session(name: str, verb: Verb) -> Session:
    """A graph of a calm network in float32, which onnxruntime runs."""
    return Session(verb, partial(write_graph, verb, network(name, calm=True)))


def compare(found: Sequence[NDArray[Any]], wanted: Sequence[NDArray[Any]], tolerance: float) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= tolerance * np.abs(other).max()


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # in the reference implementation's sigmoid
@pytest.mark.parametrize("name", ["sam2.1-micro", *OTHERS])
@pytest.mark.parametrize(("verb", "counts"), COUNTS, ids=str)
def test_a_graph_is_its_method_to_the_last_digits(verb: Verb, counts: Counts, name: str) -> None:
    given = inputs(verb, name, 64, counts)
    compare(exact(name, 64, verb).run(None, given), answers(method_model(name, 64), verb, given), EXACT)


@pytest.mark.parametrize("name", ["sam2.1-micro", *OTHERS])
@pytest.mark.parametrize(("verb", "counts"), COUNTS, ids=str)
def test_a_graph_on_onnxruntime_is_its_method_in_float32(verb: Verb, counts: Counts, name: str) -> None:
    given = inputs(verb, name, 64, counts)
    found = [host(value) for value in session(name, verb)(**given).values()]
    compare(found, answers(method_model(name, 64, "float32", calm=True), verb, given), CLOSE)


@pytest.mark.parametrize("size", [*(pytest.param(size, marks=pytest.mark.slow) for size in (32, 128)), 224])
def test_encode_is_the_method_at_sizes_that_windows_fit_and_do_not_fit(size: int) -> None:
    given = inputs("encode", "sam2.1-micro", size, Counts())
    wanted = answers(method_model("sam2.1-micro", size), "encode", given)
    compare(exact("sam2.1-micro", size, "encode").run(None, given), wanted, EXACT)


def test_encode_can_be_written_where_its_attention_does_not_fall_into_equal_parts() -> None:
    assert described("encode", write_graph("encode", network("nano", 2784)))["outputs"]["stride16"]["shape"][2] == 174


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float16", "int8"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_graph_passes_onnx_own_checks_and_has_no_foreign_or_complex_parts(verb: Verb, dtype: str) -> None:
    written = onnx.load_from_string(write_graph(verb, network("sam2.1-micro"), dtype))
    onnx.checker.check_model(written, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(written, strict_mode=True)
    assert [(one.domain, one.version >= 17) for one in written.opset_import] == [("", True)]
    assert {node.domain for node in written.graph.node} == {""}
    complex_ = {onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128}
    assert not complex_ & {value.type.tensor_type.elem_type for value in inferred.graph.value_info}


def test_half_of_the_bytes_are_left_in_float16_and_a_quarter_of_the_large_layers_in_int8() -> None:
    full, half, small = (
        len(write_graph("encode", network("sam2.1-micro"), dtype)) for dtype in ("float32", "float16", "int8")
    )
    assert half < 0.51 * full
    assert small < 0.35 * full


@pytest.mark.parametrize("name", CONFIGS)
def test_the_expected_shapes_are_those_of_the_network(name: str) -> None:
    with torch.device("meta"):
        state = Sam2(CONFIGS[name]).state_dict()
    assert expected_shapes(CONFIGS[name]) == {key: tuple(value.shape) for key, value in state.items()}


def test_a_rounded_matrix_is_near_in_every_column_by_its_own_scale() -> None:
    matrix = np.random.default_rng(5).standard_normal((40, 3)) * [1, 100, 0]
    numbers, scale = rounded(matrix)
    assert np.abs(numbers).max() <= 63  # seven bits
    assert (np.abs(numbers * scale - matrix) <= scale / 2 + 1e-6).all()


def test_only_large_layers_are_rounded() -> None:
    kinds = {
        verb: sum(
            node.op_type == "MatMulInteger"
            for node in onnx.load_from_string(write_graph(verb, network("sam2.1-micro"), "int8")).graph.node
        )
        for verb in VERBS
    }
    assert kinds["decode"] == 0  # its layers are small, and its masks are what is seen
    assert kinds["encode"] == 7 * 6 + 3  # q, k, v, proj, up and down of each block, and three shortcuts
    assert kinds["attend"] == 4 * 2
    assert kinds["memorize"] == 2 * 2


def test_a_range_that_was_seen_always_holds_zero() -> None:
    step = Rounding({"layer": (2.0, 6.0)}).step("layer")
    assert step is not None
    assert (float(step[0]), int(step[1])) == (np.float32(6 / 255), 0)
    assert Rounding().step("layer") is None
