"""Exported folders give the same masks when they are loaded, and are refused when they were tampered with."""

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
from masklet.backends import onnx as onnx_backend
from masklet.errors import CheckpointError, InputNotFound, MaskletError, ResourceError, SettingsError
from masklet.export import QuantizationOptions, export_onnx
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


def track(segmenter: Segmenter) -> list[NDArray[np.float32]]:
    tracker = Tracker(segmenter.backend, CLIP)
    tracker.prompt(0, {1: box(30, 20, 90, 70), 2: box(90, 10, 150, 60)})
    return [tracker.step(frame).low_res for frame in range(len(CLIP))]


def test_a_loaded_folder_gives_the_masks_of_the_model_bit_for_bit(exported: Path) -> None:
    built = Segmenter(onnx_backend.build(NETWORK.config, NETWORK.tensors, input_size=SIZE))
    for found, expected in zip(track(masklet.load(exported)), track(built), strict=True):
        assert found.tobytes() == expected.tobytes()


def test_the_manifest_describes_the_folder(exported: Path) -> None:
    manifest = read_manifest(exported)
    assert (manifest["model"]["name"], manifest["size"], manifest["precision"]) == ("nano", SIZE, "fp32")
    assert manifest["opset"] >= 17
    assert manifest["graphs"]["attend"]["inputs"]["memories"] == {
        "shape": ["objects", "memories", 64, SIZE // 16, SIZE // 16],
        "dtype": "float32",
    }
    assert list(manifest["graphs"]["decode"]["outputs"]) == ["logits", "iou", "object_score", "pointers"]
    for path in exported.iterdir():
        if path.name != MANIFEST_NAME:
            assert manifest["sha256"][path.name] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_is_the_same_each_time_it_is_written(exported: Path, tmp_path: Path) -> None:
    export_onnx(NETWORK, tmp_path / "again")
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == {
        path.name: path.read_bytes() for path in exported.iterdir()
    }


def test_progress_is_reported_to_the_end(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    export_onnx(NETWORK, tmp_path / "nano", progress=lambda *step: steps.append(step))
    assert steps == [(step, 5) for step in range(6)]


def test_int8_with_images_measures_the_error_of_each_graph(tmp_path: Path) -> None:
    model = make_model("nano", 32, calm=True)
    exported = export_onnx(
        model, tmp_path / "small", "int8", quantization=QuantizationOptions([CLIP[0]], calibrate=True)
    )
    errors = {error.graph: error for error in exported.quantization_errors}
    assert list(errors) == ["encode", "attend", "decode", "memorize", "all"]
    assert all(0.5 < error.lowest_iou <= error.mean_iou <= 1 for error in exported.quantization_errors)
    assert errors["decode"].mean_iou == 1  # none of its layers is quantized
    assert errors["encode"].mean_iou < 1  # most of its layers are quantized
    assert np.isfinite(masklet.load(tmp_path / "small").segment(CLIP[0], box(30, 20, 90, 70)).low_res).all()


def test_a_folder_that_is_not_empty_is_not_overwritten_by_default(exported: Path) -> None:
    with pytest.raises(ResourceError) as caught:
        export_onnx(NETWORK, exported)
    assert caught.value.code == "output-exists"


def test_a_path_that_cannot_be_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, code in (("file", "output-exists"), ("a" * 300, "output-unwritable")):
        with pytest.raises(ResourceError) as caught:
            export_onnx(NETWORK, tmp_path / name, overwrite=True)
        assert caught.value.code == code


def test_a_failed_overwrite_leaves_no_folder_that_can_be_opened(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise ResourceError("disk-full", "full")

    monkeypatch.setattr("masklet.export.folder.save", fail)
    with pytest.raises(ResourceError):
        export_onnx(NETWORK, copy, overwrite=True)
    with pytest.raises(InputNotFound):
        masklet.load(copy)


@pytest.mark.parametrize(
    ("precision", "options"),
    [
        ("fp8", QuantizationOptions()),
        ("fp32", QuantizationOptions([CLIP[0]])),
        ("fp16", QuantizationOptions(calibrate=True)),
        ("int8", QuantizationOptions(calibrate=True)),
    ],
)
def test_contradictory_options_are_refused_before_anything_is_written(
    precision: str, options: QuantizationOptions, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError):
        export_onnx(NETWORK, tmp_path / "none", precision, quantization=options)
    assert not (tmp_path / "none").exists()


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


@pytest.mark.parametrize(
    "change",
    [outside_the_folder, absolute, of_another_format, without_a_graph, with_text_for_a_size, of_an_unknown_model],
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


def test_a_folder_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="no exported model"):
        masklet.load(tmp_path)


@pytest.mark.parametrize("settings", [{"input_size": 128}, {"dtype": "float16"}, {"runtime": "torch"}])
def test_a_folder_runs_only_as_it_was_exported(settings: dict[str, Any], exported: Path) -> None:
    with pytest.raises(SettingsError):
        masklet.load(exported, **settings)
    assert masklet.load(exported, input_size=SIZE, dtype="float32", runtime="onnx").input_size == SIZE


def test_weights_that_are_not_finite_are_not_exported(tmp_path: Path) -> None:
    from masklet.checkpoints import key_names, write_tensors
    from masklet.export import read_model

    tensors = {**NETWORK.tensors, "no_pointer": np.full((1, 128), np.nan, np.float32)}
    write_tensors(tmp_path / "nan.safetensors", key_names.to_released(tensors))
    with pytest.raises(CheckpointError):
        read_model(tmp_path / "nan.safetensors")
