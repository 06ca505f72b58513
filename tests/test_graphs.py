"""Every graph is its method of `Sam2`: to the last digits in float64, with any number of everything."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.backend import Features
from masklet.config import CONFIGS
from masklet.graphs import VERBS, Verb, write_graph
from masklet.graphs.rounding import Rounding, rounded
from masklet.graphs.shapes import expected_shapes
from networks import network

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from onnx.reference import ReferenceEvaluator  # noqa: E402
from onnx.reference.op_run import OpRun  # noqa: E402

from masklet.model.sam2 import Sam2  # noqa: E402

NAMES = ["sam2.1-micro", "sam2-micro", "nano"]
EXACT = 1e-9  # in float64, of the largest number; what random networks make of its last digit


@cache
def model(name: str, size: int) -> Any:
    """`Sam2` in float64, but with the epsilons of its norms as ONNX files hold them: in float32."""
    made = Sam2(CONFIGS[name])
    for norm in made.modules():
        if isinstance(norm, torch.nn.LayerNorm):
            norm.eps = float(np.float32(norm.eps))
    made.load_state_dict({key: torch.from_numpy(value) for key, value in network(name, size).tensors.items()})
    return made.double().eval().requires_grad_(False)


class Gelu(OpRun):  # type: ignore[misc]
    """ONNX's own knows the root of 2 to seven digits only."""

    def _run(self, x: NDArray[np.float64], approximate: str) -> tuple[NDArray[np.float64]]:
        return (torch.nn.functional.gelu(torch.from_numpy(x)).numpy(),)


@cache
def graph(name: str, size: int, verb: Verb) -> Any:
    """A graph in float64, which ONNX's own reference implementation runs."""
    written = onnx.load_from_string(write_graph(verb, network(name, size), "float64"))
    return ReferenceEvaluator(written, new_ops=[Gelu])


def compare(found: Sequence[NDArray[Any]], wanted: Sequence[Any]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == tuple(other.shape)
        assert np.abs(one - other.numpy()).max() <= EXACT * np.abs(other.numpy()).max()


class Counts(NamedTuple):
    """How many of everything: pictures or objects with features of their own, prompts or objects, and so on."""

    seen: int = 1
    prompts: int = 1
    points: int = 2
    masks: int = 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 2])
def test_encode_is_the_method(name: str, count: int) -> None:
    images = np.random.default_rng(0).standard_normal((count, 3, 128, 128))
    compare(graph(name, 128, "encode").run(None, {"images": images}), model(name, 128).encode(torch.from_numpy(images)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "counts",
    [Counts(), Counts(prompts=3, points=4), Counts(seen=3, prompts=3, masks=3), Counts(prompts=2, points=0, masks=2)],
    ids=str,
)
def test_decode_is_the_method(name: str, counts: Counts) -> None:
    rng, channels = np.random.default_rng(1), CONFIGS[name].channels
    features = Features(
        rng.standard_normal((1, channels // 8, 16, 16)),
        rng.standard_normal((1, channels // 4, 8, 8)),
        rng.standard_normal((counts.seen, channels, 4, 4)),
    )
    points, labels = (
        rng.random((counts.prompts, counts.points, 2)),
        rng.integers(-1, 4, (counts.prompts, counts.points)),
    )
    mask, masked = rng.standard_normal((counts.masks, 1, 16, 16)), rng.random(counts.masks) > 0.4
    present = rng.random(labels.shape) > 0.3
    prompts = {"points": points, "labels": labels, "present": present, "mask": mask, "masked": masked}
    found = graph(name, 64, "decode").run(None, features._asdict() | prompts)
    tensors = {key: torch.from_numpy(value) for key, value in prompts.items()}
    tensors["mask"] = tensors["mask"].expand(counts.prompts, -1, -1, -1)
    tensors["masked"] = tensors["masked"].expand(counts.prompts)
    compare(found, model(name, 64).decode(Features(*map(torch.from_numpy, features)), **tensors))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("seen", "objects", "memories", "pointers"), [(1, 1, 1, 1), (1, 3, 4, 3), (2, 2, 2, 0)])
def test_attend_is_the_method(name: str, seen: int, objects: int, memories: int, pointers: int) -> None:
    rng, config = np.random.default_rng(2), CONFIGS[name]
    stride16 = rng.standard_normal((seen, config.channels, 4, 4))
    recalled = {
        "memories": rng.standard_normal((objects, memories, config.memory_channels, 4, 4)),
        "slots": rng.integers(0, 7, (objects, memories)),
        "pointers": rng.standard_normal((objects, pointers, config.channels)),
        "times": rng.uniform(-1, 1, (objects, pointers)),
    }
    found = graph(name, 64, "attend").run(None, {"stride16": stride16, **recalled})
    features = Features(None, None, torch.from_numpy(stride16))
    wanted = model(name, 64).attend(features, **{key: torch.from_numpy(value) for key, value in recalled.items()})
    compare(found, [wanted.stride16])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("seen", "objects"), [(1, 1), (1, 3), (2, 2)])
def test_memorize_is_the_method(name: str, seen: int, objects: int) -> None:
    rng = np.random.default_rng(3)
    stride16 = rng.standard_normal((seen, CONFIGS[name].channels, 4, 4))
    given = {
        "logits": 5 * rng.standard_normal((objects, 1, 16, 16)),
        "score": rng.standard_normal((objects, 1)),
        "binarize": np.arange(objects) % 2 == 0,
    }
    found = graph(name, 64, "memorize").run(None, {"stride16": stride16, **given})
    features = Features(None, None, torch.from_numpy(stride16))
    wanted = model(name, 64).memorize(features, *(torch.from_numpy(value) for value in given.values()))
    compare(found, [wanted])


@pytest.mark.parametrize("size", [32, 224])
def test_encode_is_the_method_at_sizes_that_windows_fit_and_do_not_fit(size: int) -> None:
    images = np.random.default_rng(4).standard_normal((1, 3, size, size))
    found = graph("sam2.1-micro", size, "encode").run(None, {"images": images})
    compare(found, model("sam2.1-micro", size).encode(torch.from_numpy(images)))


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
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
