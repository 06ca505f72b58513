"""A model as a folder: loaded again it gives the same masks, and one that was tampered with is not loaded at all."""

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
from masklet.onnx_graphs import inspection
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
    """An exported folder to damage."""
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def told(folder: Path) -> Any:
    return json.loads((folder / MANIFEST_NAME).read_text())


def rewrite(folder: Path, change: Callable[[Any], None]) -> None:
    manifest = told(folder)
    change(manifest)
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))


def put(folder: Path, name: str, content: bytes) -> None:
    """Another file in place of one of the folder's, for which the manifest vouches, as an attacker's would."""
    (folder / name).write_bytes(content)
    rewrite(folder, lambda manifest: manifest["sha256"].update({name: hashlib.sha256(content).hexdigest()}))


def code(folder: Path) -> str:
    """How loading a folder and using every graph of it fails."""
    with pytest.raises(MaskletError) as caught:
        masklet.load(folder).warm_up()
    return caught.value.code


def tracked(segmenter: Segmenter) -> list[NDArray[np.float32]]:
    tracker = Tracker(segmenter.backend, CLIP)
    tracker.prompt(0, {1: box(30, 20, 90, 70), 2: box(90, 10, 150, 60)})
    return [tracker.step(frame).low_res for frame in range(len(CLIP))]


def test_a_loaded_folder_gives_the_masks_of_the_model_bit_for_bit(exported: Path) -> None:
    built = Segmenter(onnx_backend.build(NETWORK.config, NETWORK.tensors, input_size=SIZE))
    for found, wanted in zip(tracked(masklet.load(exported)), tracked(built), strict=True):
        assert found.tobytes() == wanted.tobytes()


def test_the_manifest_says_what_is_in_the_folder(exported: Path) -> None:
    manifest = told(exported)
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


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    export_onnx(NETWORK, tmp_path / "nano", progress=lambda *step: heard.append(step))
    assert heard == [(step, 5) for step in range(6)]


def test_int8_with_pictures_tells_what_each_graph_costs(tmp_path: Path) -> None:
    ours = make_model("nano", 32, calm=True)
    exported = export_onnx(
        ours, tmp_path / "small", "int8", quantization=QuantizationOptions([CLIP[0]], calibrate=True)
    )
    costs = {cost.graph: cost for cost in exported.quantization_errors}
    assert list(costs) == ["encode", "attend", "decode", "memorize", "all"]
    assert all(0.5 < cost.lowest_iou <= cost.mean_iou <= 1 for cost in exported.quantization_errors)
    assert costs["decode"].mean_iou == 1  # none of its layers is rounded
    assert costs["encode"].mean_iou < 1  # and of this one most are
    assert np.isfinite(masklet.load(tmp_path / "small").segment(CLIP[0], box(30, 20, 90, 70)).low_res).all()


def test_a_folder_that_is_not_empty_is_not_written_over_unasked(exported: Path) -> None:
    with pytest.raises(ResourceError) as caught:
        export_onnx(NETWORK, exported)
    assert caught.value.code == "output-exists"


def test_a_place_that_no_folder_can_have_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place, wanted in (("file", "output-exists"), ("a" * 300, "output-unwritable")):
        with pytest.raises(ResourceError) as caught:
            export_onnx(NETWORK, tmp_path / place, overwrite=True)
        assert caught.value.code == wanted


def test_a_failed_overwrite_leaves_no_folder_that_can_be_opened(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise ResourceError("disk-full", "full")

    monkeypatch.setattr("masklet.export.folder.save", full)
    with pytest.raises(ResourceError):
        export_onnx(NETWORK, copy, overwrite=True)
    with pytest.raises(InputNotFound):
        masklet.load(copy)


@pytest.mark.parametrize(
    ("precision", "trial"),
    [
        ("fp8", QuantizationOptions()),
        ("fp32", QuantizationOptions([CLIP[0]])),
        ("fp16", QuantizationOptions(calibrate=True)),
        ("int8", QuantizationOptions(calibrate=True)),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    precision: str, trial: QuantizationOptions, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError):
        export_onnx(NETWORK, tmp_path / "none", precision, quantization=trial)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["encode.onnx", "attend.onnx", "decode.onnx", "memorize.onnx", TABLES_NAME])
def test_a_file_that_was_changed_is_refused(name: str, copy: Path) -> None:
    content = bytearray((copy / name).read_bytes())
    content[-9] ^= 1
    (copy / name).write_bytes(content)
    assert code(copy) == "hash-mismatch"


@pytest.mark.parametrize("name", ["encode.onnx", TABLES_NAME])
def test_a_file_that_is_missing_is_named(name: str, copy: Path) -> None:
    (copy / name).unlink()
    assert code(copy) == "input-not-found"


def onnx_graph(change: Callable[[Any, Any], None]) -> bytes:
    """A graph with the right name for everything, and one thing wrong."""
    onnx = pytest.importorskip("onnx")
    made = onnx.load_from_string(masklet_graph("encode"))
    change(onnx, made)
    return bytes(made.SerializeToString())


def masklet_graph(verb: Any) -> bytes:
    from masklet.onnx_graphs import write_graph

    return write_graph(verb, NETWORK)


def foreign_operator(onnx: Any, made: Any) -> None:
    made.graph.node[0].domain = "com.evil"


def unheard_of_operator(onnx: Any, made: Any) -> None:
    made.graph.node[0].op_type = "Teleport"


def data_elsewhere(onnx: Any, made: Any) -> None:
    constant = made.graph.initializer[0]
    constant.data_location = onnx.TensorProto.EXTERNAL
    constant.external_data.add(key="location", value="../../../etc/passwd")


def text_input(onnx: Any, made: Any) -> None:
    made.graph.input.append(onnx.helper.make_tensor_value_info("words", onnx.TensorProto.STRING, [1]))


def another_input(onnx: Any, made: Any) -> None:
    made.graph.input.append(onnx.helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1]))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (foreign_operator, "onnx-refused"),
        (data_elsewhere, "onnx-external-data"),
        (unheard_of_operator, "onnx-broken"),
        (text_input, "onnx-broken"),
        (another_input, "onnx-broken"),
    ],
)
def test_a_hostile_graph_is_refused_though_the_manifest_vouches_for_it(
    change: Callable[[Any, Any], None], wanted: str, copy: Path
) -> None:
    put(copy, "encode.onnx", onnx_graph(change))
    assert code(copy) == wanted


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
@pytest.mark.parametrize(("verb", "name"), OUTPUTS)
def test_a_graph_that_answers_with_something_else_is_refused(verb: str, name: str, operator: str, copy: Path) -> None:
    onnx = pytest.importorskip("onnx")
    made = onnx.load(copy / f"{verb}.onnx")
    (node,) = [node for node in made.graph.node if node.output[0] == name]
    (value,) = [one for one in made.graph.output if one.name == name]
    node.op_type = operator
    told = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None)
    if operator == "SequenceConstruct":
        told = onnx.helper.make_tensor_sequence_value_info(name, onnx.TensorProto.FLOAT, None)
    value.CopyFrom(told)
    put(copy, f"{verb}.onnx", made.SerializeToString())
    with pytest.raises(CheckpointError) as caught:
        tracked(masklet.load(copy))
    assert caught.value.code == "onnx-broken"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_damage_for_which_the_manifest_vouches_ends_in_one_of_our_errors_or_in_masks(seed: int, copy: Path) -> None:
    rng = random.Random(seed)
    name = rng.choice(["encode.onnx", "attend.onnx", "decode.onnx", "memorize.onnx"])
    content = bytearray((copy / name).read_bytes())
    for _ in range(rng.randint(1, 3)):
        content[rng.randrange(30_000)] = rng.randrange(256)  # where the nodes are; the numbers come after them
    put(copy, name, bytes(content))
    with contextlib.suppress(MaskletError):
        tracked(masklet.load(copy))


def test_another_graph_in_the_place_of_one_is_refused(copy: Path) -> None:
    put(copy, "decode.onnx", (copy / "memorize.onnx").read_bytes())
    assert code(copy) == "onnx-broken"


def test_an_enormous_graph_is_refused_before_it_is_read(copy: Path) -> None:
    with (copy / "encode.onnx").open("wb") as file:
        file.truncate(inspection.MAX_BYTES + 1)
    assert code(copy) == "onnx-refused"


def test_tables_of_another_shape_are_refused(copy: Path) -> None:
    put(copy, TABLES_NAME, save({"no_memory": np.zeros((1, 2, 3, 4), np.float32)}))
    assert code(copy) == "manifest-broken"


def test_tables_of_numbers_that_numpy_has_not_are_refused(copy: Path) -> None:
    put(
        copy,
        TABLES_NAME,
        save({"no_memory": np.zeros(2, np.float16)}).replace(b'"F16"', b'"BF16"').replace(b"  ", b" ", 1),
    )
    assert code(copy) == "manifest-broken"


def elsewhere(manifest: Any) -> None:
    manifest["graphs"]["encode"]["file"] = "../encode.onnx"


def absolute(manifest: Any) -> None:
    manifest["graphs"]["encode"]["file"] = "/etc/passwd"


def of_another_format(manifest: Any) -> None:
    manifest["format"] = "masklet-onnx-9"


def without_a_graph(manifest: Any) -> None:
    del manifest["graphs"]["attend"]


def with_a_word_for_a_size(manifest: Any) -> None:
    manifest["size"] = "large"


def of_an_unknown_model(manifest: Any) -> None:
    manifest["model"]["wings"] = 2


@pytest.mark.parametrize(
    "change", [elsewhere, absolute, of_another_format, without_a_graph, with_a_word_for_a_size, of_an_unknown_model]
)
def test_a_manifest_that_does_not_hold_together_is_refused(change: Callable[[Any], None], copy: Path) -> None:
    rewrite(copy, change)
    assert code(copy) == "manifest-broken"


@pytest.mark.parametrize(("name", "told"), [("a" * 300, "input-unreadable"), ("a\0b", "manifest-broken")])
def test_a_name_that_no_file_can_have_is_told(name: str, told: str, copy: Path) -> None:
    rewrite(copy, lambda manifest: manifest["graphs"]["encode"].update(file=name))
    assert code(copy) == told


@pytest.mark.parametrize("content", [b"[]", b"{}", b"\xff\xfe", b'{"format": NaN}', b"[" * 100_000])
def test_a_manifest_that_is_none_is_refused(content: bytes, copy: Path) -> None:
    (copy / MANIFEST_NAME).write_bytes(content)
    assert code(copy) == "manifest-broken"


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="no exported model"):
        masklet.load(tmp_path)


@pytest.mark.parametrize("wish", [{"input_size": 128}, {"dtype": "float16"}, {"runtime": "torch"}])
def test_a_folder_runs_only_as_it_was_exported(wish: dict[str, Any], exported: Path) -> None:
    with pytest.raises(SettingsError):
        masklet.load(exported, **wish)
    assert masklet.load(exported, input_size=SIZE, dtype="float32", runtime="onnx").input_size == SIZE


def test_weights_that_are_not_finite_are_not_exported(tmp_path: Path) -> None:
    from masklet.checkpoints import key_names, write_tensors
    from masklet.export import read_model

    tensors = {**NETWORK.tensors, "no_pointer": np.full((1, 128), np.nan, np.float32)}
    write_tensors(tmp_path / "nan.safetensors", key_names.to_released(tensors))
    with pytest.raises(CheckpointError):
        read_model(tmp_path / "nan.safetensors")
