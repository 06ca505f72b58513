"""Exported folders give the masks of the model when they are loaded again."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import masklet
from masklet import Segmenter, box
from masklet.backend import NO_PROMPT, Recall
from masklet.backends import onnx as onnx_backend
from masklet.errors import CheckpointError, InputNotFound, ResourceError, SettingsError
from masklet.export import QuantizationOptions, export_onnx
from masklet.onnx_graphs.manifest import MANIFEST_NAME
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


def track(segmenter: Segmenter) -> list[NDArray[np.float32]]:
    tracker = Tracker(segmenter.backend, CLIP)
    tracker.prompt(0, {1: box(30, 20, 90, 70), 2: box(90, 10, 150, 60)})
    return [tracker.step(frame).low_res for frame in range(len(CLIP))]


def test_a_loaded_folder_gives_the_masks_of_the_model_bit_for_bit(exported: Path) -> None:
    built = Segmenter(onnx_backend.build(NETWORK.config, NETWORK.tensors, input_size=SIZE))
    for found, expected in zip(track(masklet.load(exported)), track(built), strict=True):
        assert found.tobytes() == expected.tobytes()


def test_a_folder_without_the_graph_of_scales_works_without_scales(copy: Path) -> None:
    """Version 0.1.0 wrote such folders."""
    manifest = read_manifest(copy)
    del manifest["graphs"]["attend_scaled"]
    (copy / "attend_scaled.onnx").unlink()
    (copy / MANIFEST_NAME).write_text(json.dumps(manifest))
    backend = masklet.load(copy).backend
    features = backend.encode([CLIP[0]])[0]
    decoded = backend.decode(backend.attend(features, [Recall()]), [NO_PROMPT])
    (memory,) = backend.memorize(features, backend.select(decoded, [(0, None)]), [True])
    recall = Recall(((6, memory),), ((1, memory),))
    assert backend.attend(features, [recall]).stride16.shape() == [1, 128, SIZE // 16, SIZE // 16]
    with pytest.raises(SettingsError, match="without the graph that scales"):
        backend.attend(features, [replace(recall, scales=((1.0,), (1.0,)))])


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
    assert steps == [(step, 6) for step in range(7)]


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

    monkeypatch.setattr("masklet.export.folder.write_tensors", fail)
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
