"""Exported folders that were changed, damaged or built by an attacker are refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

import masklet
from masklet import Segmenter, box
from masklet.errors import CheckpointError, MaskletError
from masklet.export import export_onnx
from masklet.onnx_graphs import inspection, write_graph
from masklet.onnx_graphs.manifest import MANIFEST_NAME, TABLES_NAME
from masklet.tracking.tracker import Tracker
from parity.inputs import frames
from support.networks import make_model

SIZE = 64
CLIP = frames(4, 90, 160, 3)
NETWORK = make_model("nano", SIZE, calm=True)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "nano"
    export_onnx(NETWORK, folder)
    return folder


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    """A copy of an exported folder, to damage."""
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def read_manifest(folder: Path) -> Any:
    return json.loads((folder / MANIFEST_NAME).read_text())


def change_manifest(folder: Path, change: Callable[[Any], None]) -> None:
    manifest = read_manifest(folder)
    change(manifest)
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Replace a file and its hash in the manifest, as an attacker would."""
    (folder / name).write_bytes(content)
    change_manifest(folder, lambda manifest: manifest["sha256"].update({name: hashlib.sha256(content).hexdigest()}))


def error_code(folder: Path) -> str:
    """Return the code of the error that loading the folder and running every graph raises."""
    with pytest.raises(MaskletError) as caught:
        masklet.load(folder).warm_up()
    return caught.value.code


def test_a_manifest_of_an_older_version_lacks_later_fields(copy: Path) -> None:
    later = ("trunk", "high_resolution", "latent_grid", "global_latents", "memory_pooling")
    change_manifest(copy, lambda manifest: [manifest["model"].pop(name) for name in later])
    assert masklet.load(copy).backend.config == NETWORK.config


@pytest.mark.parametrize("trunk", ["vgg", None])
def test_a_manifest_with_an_unknown_trunk_is_refused(copy: Path, trunk: object) -> None:
    change_manifest(copy, lambda manifest: manifest["model"].update(trunk=trunk))
    assert error_code(copy) == "manifest-broken"


def track(segmenter: Segmenter) -> list[NDArray[np.float32]]:
    tracker = Tracker(segmenter.backend, CLIP)
    tracker.prompt(0, {1: box(30, 20, 90, 70), 2: box(90, 10, 150, 60)})
    return [tracker.step(frame).low_res for frame in range(len(CLIP))]


@pytest.mark.parametrize("name", ["encode.onnx", "attend.onnx", "decode.onnx", "memorize.onnx", TABLES_NAME])
def test_a_changed_file_is_refused(name: str, copy: Path) -> None:
    content = bytearray((copy / name).read_bytes())
    content[-9] ^= 1
    (copy / name).write_bytes(content)
    assert error_code(copy) == "hash-mismatch"


@pytest.mark.parametrize("name", ["encode.onnx", TABLES_NAME])
def test_a_missing_file_is_named(name: str, copy: Path) -> None:
    (copy / name).unlink()
    assert error_code(copy) == "input-not-found"


def damage_graph(change: Callable[[Any, Any], None]) -> bytes:
    """Write a graph with the right names and one fault."""
    onnx = pytest.importorskip("onnx")
    proto = onnx.load_from_string(write_graph("encode", NETWORK))
    change(onnx, proto)
    return bytes(proto.SerializeToString())


def foreign_operator(onnx: Any, proto: Any) -> None:
    proto.graph.node[0].domain = "com.evil"


def unknown_operator(onnx: Any, proto: Any) -> None:
    proto.graph.node[0].op_type = "Teleport"


def external_data(onnx: Any, proto: Any) -> None:
    constant = proto.graph.initializer[0]
    constant.data_location = onnx.TensorProto.EXTERNAL
    constant.external_data.add(key="location", value="../../../etc/passwd")


def text_input(onnx: Any, proto: Any) -> None:
    proto.graph.input.append(onnx.helper.make_tensor_value_info("words", onnx.TensorProto.STRING, [1]))


def another_input(onnx: Any, proto: Any) -> None:
    proto.graph.input.append(onnx.helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1]))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (foreign_operator, "onnx-refused"),
        (external_data, "onnx-external-data"),
        (unknown_operator, "onnx-broken"),
        (text_input, "onnx-broken"),
        (another_input, "onnx-broken"),
    ],
)
def test_a_hostile_graph_with_a_matching_hash_is_refused(
    change: Callable[[Any, Any], None], code: str, copy: Path
) -> None:
    replace_file(copy, "encode.onnx", damage_graph(change))
    assert error_code(copy) == code


OUTPUTS = [
    ("encode", "stride4"),
    ("encode", "stride16"),
    ("attend", "attended"),
    ("decode", "logits"),
    ("decode", "iou"),
    ("decode", "object_score"),
    ("decode", "pointers"),
    ("memorize", "memories"),
]


@pytest.mark.parametrize("operator", ["Shape", "SequenceConstruct"])
@pytest.mark.parametrize(("graph", "name"), OUTPUTS)
def test_a_graph_with_an_output_of_another_type_is_refused(graph: str, name: str, operator: str, copy: Path) -> None:
    onnx = pytest.importorskip("onnx")
    proto = onnx.load(copy / f"{graph}.onnx")
    (node,) = [node for node in proto.graph.node if node.output[0] == name]
    (value,) = [one for one in proto.graph.output if one.name == name]
    node.op_type = operator
    info = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None)
    if operator == "SequenceConstruct":
        info = onnx.helper.make_tensor_sequence_value_info(name, onnx.TensorProto.FLOAT, None)
    value.CopyFrom(info)
    replace_file(copy, f"{graph}.onnx", proto.SerializeToString())
    with pytest.raises(CheckpointError) as caught:
        track(masklet.load(copy))
    assert caught.value.code == "onnx-broken"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_damage_with_a_matching_hash_gives_masks_or_a_masklet_error(seed: int, copy: Path) -> None:
    rng = random.Random(seed)
    name = rng.choice(["encode.onnx", "attend.onnx", "decode.onnx", "memorize.onnx"])
    content = bytearray((copy / name).read_bytes())
    for _ in range(rng.randint(1, 3)):
        content[rng.randrange(30_000)] = rng.randrange(256)  # the nodes; the constants follow them
    replace_file(copy, name, bytes(content))
    with contextlib.suppress(MaskletError):
        track(masklet.load(copy))


def test_a_graph_in_place_of_another_is_refused(copy: Path) -> None:
    replace_file(copy, "decode.onnx", (copy / "memorize.onnx").read_bytes())
    assert error_code(copy) == "onnx-broken"


def test_a_graph_over_the_limit_is_refused_before_it_is_read(copy: Path) -> None:
    with (copy / "encode.onnx").open("wb") as file:
        file.truncate(inspection.MAX_BYTES + 1)
    assert error_code(copy) == "onnx-refused"


def test_tables_of_another_shape_are_refused(copy: Path) -> None:
    replace_file(copy, TABLES_NAME, save({"no_memory": np.zeros((1, 2, 3, 4), np.float32)}))
    assert error_code(copy) == "manifest-broken"


def test_tables_of_a_dtype_that_numpy_lacks_are_refused(copy: Path) -> None:
    replace_file(
        copy,
        TABLES_NAME,
        save({"no_memory": np.zeros(2, np.float16)}).replace(b'"F16"', b'"BF16"').replace(b"  ", b" ", 1),
    )
    assert error_code(copy) == "manifest-broken"


def outside_the_folder(manifest: Any) -> None:
    manifest["graphs"]["encode"]["file"] = "../encode.onnx"


def absolute(manifest: Any) -> None:
    manifest["graphs"]["encode"]["file"] = "/etc/passwd"


def of_another_format(manifest: Any) -> None:
    manifest["format"] = "masklet-onnx-9"


def without_a_graph(manifest: Any) -> None:
    del manifest["graphs"]["attend"]


def with_text_for_a_size(manifest: Any) -> None:
    manifest["size"] = "large"


def of_an_unknown_model(manifest: Any) -> None:
    manifest["model"]["wings"] = 2


def with_a_size_that_latents_do_not_fit(manifest: Any) -> None:
    manifest["model"].update(latent_grid=5, global_latents=25)


@pytest.mark.parametrize(
    "change",
    [
        *(outside_the_folder, absolute, of_another_format, without_a_graph, with_text_for_a_size),
        *(of_an_unknown_model, with_a_size_that_latents_do_not_fit),
    ],
)
def test_an_inconsistent_manifest_is_refused(change: Callable[[Any], None], copy: Path) -> None:
    change_manifest(copy, change)
    assert error_code(copy) == "manifest-broken"


@pytest.mark.parametrize(("name", "code"), [("a" * 300, "input-unreadable"), ("a\0b", "manifest-broken")])
def test_an_impossible_file_name_is_an_error(name: str, code: str, copy: Path) -> None:
    change_manifest(copy, lambda manifest: manifest["graphs"]["encode"].update(file=name))
    assert error_code(copy) == code


@pytest.mark.parametrize("content", [b"[]", b"{}", b"\xff\xfe", b'{"format": NaN}', b"[" * 100_000])
def test_a_malformed_manifest_is_refused(content: bytes, copy: Path) -> None:
    (copy / MANIFEST_NAME).write_bytes(content)
    assert error_code(copy) == "manifest-broken"
