"""ONNX files that do more than compute are refused with a code before a runtime loads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masklet.errors import EXIT_STATUS, CheckpointError, InputNotFound
from masklet.onnx_graphs import inspection, protobuf, write_graph
from support.networks import make_model

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from fuzzing.kinds.graphs import make_proto  # noqa: E402


def error_code(content: bytes) -> str:
    """Return the code of the error that inspecting `content` raises."""
    with pytest.raises(CheckpointError) as caught:
        inspection.inspect(content, "graph.onnx")
    assert caught.value.code in EXIT_STATUS
    return caught.value.code


def test_graphs_of_masklet_and_of_other_exporters_pass() -> None:
    inspection.inspect(make_proto().SerializeToString(), "other")
    inspection.inspect(write_graph("decode", make_model("sam2.1-micro")), "masklet")


def outside(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].data_location = TensorProto.EXTERNAL


def outside_by_key(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].external_data.add(key="location", value="../../etc/passwd")


def outside_in_an_attribute(proto: onnx.ModelProto) -> None:
    value = onnx.numpy_helper.from_array(np.ones(4, np.float32))
    value.data_location = TensorProto.EXTERNAL
    proto.graph.node.append(helper.make_node("Constant", [], ["k"], value=value))


def outside_in_a_subgraph(proto: onnx.ModelProto) -> None:
    inner = make_proto()
    outside(inner)
    proto.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=inner.graph, else_branch=inner.graph))


@pytest.mark.parametrize("change", [outside, outside_by_key, outside_in_an_attribute, outside_in_a_subgraph])
def test_data_in_other_files_is_refused(change: Callable[[onnx.ModelProto], None]) -> None:
    hostile = make_proto()
    change(hostile)
    assert error_code(hostile.SerializeToString()) == "onnx-external-data"


def custom_operator(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].domain = "evil.corp"


def custom_opset(proto: onnx.ModelProto) -> None:
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def functions(proto: onnx.ModelProto) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    proto.functions.append(helper.make_function("", "f", ["x"], ["y"], [node], proto.opset_import))


def training(proto: onnx.ModelProto) -> None:
    proto.training_info.add()


def sparse(proto: onnx.ModelProto) -> None:
    proto.graph.sparse_initializer.add()


def endless(proto: onnx.ModelProto) -> None:
    proto.graph.node.append(helper.make_node("Loop", ["", "c"], ["z"], body=onnx.GraphProto()))


def unnamed_input(proto: onnx.ModelProto) -> None:
    proto.graph.node.append(helper.make_node("LayerNormalization", ["x", "c", ""], ["z"]))


def too_deep(proto: onnx.ModelProto) -> None:
    for _ in range(inspection.MAX_DEPTH):
        inner = proto.graph.SerializeToString()
        del proto.graph.node[:]
        proto.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=onnx.GraphProto.FromString(inner)))


def too_many_nodes(proto: onnx.ModelProto) -> None:
    proto.graph.node.extend([proto.graph.node[0]] * inspection.MAX_NODES)


def too_many_inputs(proto: onnx.ModelProto) -> None:
    proto.graph.input.extend([proto.graph.input[0]] * inspection.MAX_INPUTS)


@pytest.mark.parametrize(
    "change",
    [
        custom_operator,
        custom_opset,
        functions,
        training,
        sparse,
        endless,
        too_deep,
        too_many_nodes,
        too_many_inputs,
        unnamed_input,
    ],
)
def test_parts_that_no_network_needs_are_refused(change: Callable[[onnx.ModelProto], None]) -> None:
    hostile = make_proto()
    change(hostile)
    assert error_code(hostile.SerializeToString()) == "onnx-refused"


def test_a_constant_that_claims_more_values_than_it_has_is_refused() -> None:
    hostile = make_proto()
    del hostile.graph.initializer[0].dims[:]
    hostile.graph.initializer[0].dims.extend([1 << 40, 1 << 10])
    assert error_code(hostile.SerializeToString()) == "onnx-broken"


@pytest.mark.parametrize("packed", [True, False])
def test_a_constant_of_50000_dimensions_is_refused_before_they_are_multiplied(packed: bool) -> None:
    sizes = [protobuf.encode_int(1, (1 << 62) + 1)] * 50_000
    dims = protobuf.encode_bytes(1, b"".join(size[1:] for size in sizes)) if packed else b"".join(sizes)
    content = protobuf.encode_bytes(7, protobuf.encode_bytes(5, dims))
    with pytest.raises(CheckpointError, match="dimensions"):
        inspection.inspect(content, "graph.onnx")


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"\x80\x04K\x01.", b"\xff" * 100, b"\0" * 100, b":\xff\xff\xff\xff\x7f"]
)
def test_a_file_that_is_not_a_graph_is_refused(content: bytes) -> None:
    assert error_code(content) == "onnx-broken"


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(inspection.MAX_BYTES + 1)  # a sparse file
    with pytest.raises(CheckpointError, match="bytes") as caught:
        inspection.read_onnx(path)
    assert caught.value.code == "onnx-refused"


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        inspection.read_onnx(tmp_path / "none.onnx")


@given(st.lists(st.tuples(st.integers(1, 1 << 20), st.integers(-(1 << 63), (1 << 63) - 1) | st.binary())))
def test_fields_read_back_as_written(fields: list[tuple[int, int | bytes]]) -> None:
    written = b"".join(
        protobuf.encode_int(key, value) if isinstance(value, int) else protobuf.encode_bytes(key, value)
        for key, value in fields
    )
    found = [
        (key, value if isinstance(value, int) else bytes(value))
        for key, value in protobuf.iter_fields(memoryview(written))
    ]
    assert found == [(key, value % (1 << 64) if isinstance(value, int) else value) for key, value in fields]
