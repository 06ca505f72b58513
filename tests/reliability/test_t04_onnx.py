"""T4: damaged ONNX files are refused or load, and no graph reads a file outside of itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from fuzzing.canary import Canary  # noqa: E402
from fuzzing.kinds.graphs import make_proto  # noqa: E402
from fuzzing.run import run_kind  # noqa: E402
from masklet.backends.onnx.session import Session  # noqa: E402
from masklet.errors import CheckpointError, InputNotFound  # noqa: E402
from masklet.onnx_graphs.inspection import read_onnx  # noqa: E402


@pytest.mark.parametrize("count", [200, pytest.param(2_400, marks=pytest.mark.slow)])
def test_damaged_graphs(count: int) -> None:
    report = run_kind("graphs", count, seed=4)
    report.require_success()
    assert report.checks == count
    assert {*report.codes} >= {"read", "onnx-broken", "onnx-external-data"}


@pytest.mark.slow
def test_damaged_exports() -> None:
    report = run_kind("exports", 600, seed=4)
    report.require_success()
    assert {*report.codes} >= {"read", "onnx-broken", "manifest-broken"}


def name_file(location: str) -> Callable[[Path], bytes]:
    """Return a function that makes a graph whose constant is in a file."""

    def make(folder: Path) -> bytes:
        model = make_proto()
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        values = {"location": location.format(outside=folder / "outside"), "offset": "0", "length": "16"}
        for key, value in values.items():
            tensor.external_data.add(key=key, value=value)
        return bytes(model.SerializeToString())

    return make


def name_in_attribute(folder: Path) -> bytes:
    """Make a graph with an external constant in an attribute."""
    model = make_proto()
    value = onnx.helper.make_tensor("v", TensorProto.FLOAT, [4], [0.0] * 4)
    value.ClearField("float_data")
    value.data_location = TensorProto.EXTERNAL
    value.external_data.add(key="location", value="../outside/canary")
    model.graph.node.append(helper.make_node("Constant", [], ["k"], value=value))
    return bytes(model.SerializeToString())


def name_in_subgraph(folder: Path) -> bytes:
    """Make a graph with an external constant in a branch."""
    model = make_proto()
    inner = onnx.ModelProto.FromString(name_file("link")(folder)).graph
    model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner))
    return bytes(model.SerializeToString())


EXTERNAL = {
    "sibling": name_file("sibling"),
    "current folder": name_file("./sibling"),
    "parent folder": name_file("../outside/canary"),
    "absolute": name_file("{outside}/canary"),
    "no name": name_file(""),
    "symbolic link": name_file("link"),
    "hard link": name_file("hard"),
    "linked folder": name_file("folder/canary"),
    "attribute": name_in_attribute,
    "subgraph": name_in_subgraph,
}


@pytest.mark.parametrize("case", EXTERNAL)
def test_external_data_is_refused_unread(case: str, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    own = tmp_path / "model"
    own.mkdir()
    canary, sibling = Canary(tmp_path / "outside/canary"), Canary(own / "sibling")
    (own / "link").symlink_to(canary.path)
    os.link(canary.path, own / "hard")
    (own / "folder").symlink_to(tmp_path / "outside")
    path = own / "graph.onnx"
    path.write_bytes(EXTERNAL[case](tmp_path))
    with pytest.raises(CheckpointError) as caught:
        Session("graph", lambda: read_onnx(path)).load()
    assert (caught.value.code, caught.value.exit_status) == ("onnx-external-data", 77)
    assert not canary.was_opened() and not sibling.was_opened()


@pytest.mark.parametrize("case", ["to a text", "to itself", "to nothing", "to a folder"])
def test_a_graph_that_is_a_link_is_read_as_a_graph_or_not_at_all(case: str, tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    (tmp_path / "text").write_text("root:x:0:0\n")
    names = {"to a text": "text", "to itself": "graph.onnx", "to nothing": "nowhere", "to a folder": "."}
    path.symlink_to(tmp_path / names[case])
    with pytest.raises((CheckpointError, InputNotFound)) as caught:
        read_onnx(path)
    assert caught.value.exit_status in (65, 66) and "root:x" not in str(caught.value)
