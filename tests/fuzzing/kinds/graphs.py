"""ONNX graphs: small ones, and ones whose constants are in another file.

What passes the inspection is loaded by onnxruntime.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import onnx
from onnx import TensorProto, helper

from fuzzing.canary import Canary
from fuzzing.mutation import mutate_bytes
from fuzzing.target import Target, require
from masklet.backends.onnx.session import Session
from masklet.errors import CheckpointError, InputNotFound, ResourceError
from masklet.onnx_graphs.inspection import read_onnx

ERRORS = (CheckpointError, InputNotFound, ResourceError)
_OPERATORS = ("Add", "Conv", "Reshape", "Loop", "If", "Constant", "Gather", "Expand", "Tile", "x", "")


def make_proto() -> onnx.ModelProto:
    """Make a harmless model with one node and one constant."""
    constant = onnx.numpy_helper.from_array(np.ones(4, np.float32), "c")
    node = helper.make_node("Add", ["x", "c"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy"]
    graph = helper.make_graph([node], "g", values[:1], values[1:], [constant])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def make_branches() -> onnx.ModelProto:
    """Make a model with a subgraph, and constants in attributes and as packed numbers."""
    model = make_proto()
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["z"], value=helper.make_tensor("v", TensorProto.FLOAT, [2], [1.0, 2.0]))],
        "inner",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [2])],
    )
    condition = helper.make_tensor("b", TensorProto.BOOL, [], [True])
    model.graph.initializer.append(condition)
    model.graph.node.append(helper.make_node("If", ["b"], ["w"], then_branch=inner, else_branch=inner))
    model.graph.output.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [2]))
    return model


def check_graph(path: Path, canary: Canary) -> None:
    content = read_onnx(path)
    try:
        Session("graph", lambda: content).load()
    finally:
        require(not canary.was_opened(), "a file outside of the graph was opened")


def _name_canary(content: bytes, rng: Random, canary: Path) -> bytes:
    """Let a constant name a file, by one of the ways of the format, and mutate the result."""
    model = onnx.ModelProto.FromString(content)
    if model.graph.initializer:
        tensor = model.graph.initializer[0]
        name = rng.choice((str(canary), canary.name, f"./{canary.name}", f"../{canary.parent.name}/{canary.name}"))
        tensor.external_data.add(key="location", value=name)
        if rng.random() < 0.7:
            tensor.data_location = TensorProto.EXTERNAL
            tensor.ClearField("raw_data")
    return mutate_bytes(model.SerializeToString(), rng) if rng.random() < 0.8 else model.SerializeToString()


@contextmanager
def open_targets(folder: Path) -> Iterator[list[Target]]:
    """Open the targets."""
    canary = Canary(folder / "canary.bin")
    path = folder / "graph.onnx"
    check = partial(check_graph, path, canary)
    small = [make_proto().SerializeToString(), make_branches().SerializeToString()]
    yield [
        Target("small", path, small, check, _mutate_small, ERRORS),
        Target("external", path, small[:1], check, partial(_name_canary, canary=canary.path), ERRORS),
    ]


def _mutate_small(content: bytes, rng: Random) -> bytes:
    return (mutate_fields if rng.random() < 0.4 else mutate_bytes)(content, rng)


def mutate_fields(content: bytes, rng: Random) -> bytes:
    """Change operators, names, attributes and sizes of a graph whose encoding remains valid."""
    model = onnx.ModelProto.FromString(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice((_edit_node, _edit_node, _edit_tensor, _edit_value, _edit_model))(model, rng)
    return bytes(model.SerializeToString())


def _edit_node(model: onnx.ModelProto, rng: Random) -> None:
    if not model.graph.node:
        return
    node, other = rng.choice(model.graph.node), rng.choice(model.graph.node)
    kind = rng.randrange(6)
    if kind == 0:
        node.op_type = rng.choice((*_OPERATORS, other.op_type))
    elif kind == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(("", "nowhere", *other.input, *other.output))
    elif kind == 2 and node.output:
        node.output[0] = rng.choice(("", "twice", *other.output))
    elif kind == 3:
        model.graph.node.remove(node)
    elif kind == 4 and node.attribute:
        attribute = rng.choice(node.attribute)
        attribute.i = rng.choice((0, -1, 2**31, 2**63 - 1))
        attribute.ints.extend([rng.choice((0, -1, 1 << 40))] * rng.choice((1, 9)))
    else:
        model.graph.node.insert(rng.randrange(len(model.graph.node)), node)


def _edit_tensor(model: onnx.ModelProto, rng: Random) -> None:
    if not model.graph.initializer:
        return
    tensor = rng.choice(model.graph.initializer)
    kind = rng.randrange(4)
    if kind == 0:
        tensor.data_type = rng.randrange(25)
    elif kind == 1:
        tensor.dims.extend([rng.choice((0, 1, -1, 1 << 32))])
    elif kind == 2 and tensor.dims:
        tensor.dims[0] = rng.choice((0, 1, -1, 1 << 20, 1 << 62, tensor.dims[0] + 1))
    else:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]


def _edit_value(model: onnx.ModelProto, rng: Random) -> None:
    values = [*model.graph.input, *model.graph.output]
    if values:
        kind = rng.choice(values).type.tensor_type
        kind.elem_type = rng.choice((kind.elem_type, rng.randrange(25)))
        if kind.shape.dim:
            kind.shape.dim[0].dim_value = rng.choice((0, -1, 1 << 40))


def _edit_model(model: onnx.ModelProto, rng: Random) -> None:
    model.ir_version = rng.choice((0, 3, 9, 99, 1 << 40))
    if model.opset_import:
        model.opset_import[0].version = rng.choice((0, 1, 7, 13, 17, 99))
