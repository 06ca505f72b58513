"""T18: numbers that are not finite never become a mask, and never enter a JSON file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from masklet.backends.onnx.session import Session
from masklet.cli import options
from masklet.cli.main import main
from masklet.errors import BackendError, CheckpointError, ImageError, PromptError
from masklet.images import read_image
from masklet.prompts import Prompt, box, click, mask
from masklet.segmenter import Segmenter, load
from parity.inputs import weights
from support.hostile_checkpoints import write_released
from support.recorded import load_shapes
from support.track_runs import read_outputs

STAGES = ("encode", "attend", "decode", "memorize")
VALUES = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


@pytest.fixture(scope="module", params=[pytest.param("torch", marks=pytest.mark.slow), "onnx"])
def model(request: pytest.FixtureRequest, checkpoint: Callable[[str, int], Path]) -> Segmenter:
    return load(checkpoint("sam2.1-micro", 1), runtime=request.param, input_size=64)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four frames."""
    folder = tmp_path_factory.mktemp("clip")
    for index, image in enumerate(np.random.default_rng(0).integers(0, 255, (4, 48, 64, 3)).astype(np.uint8)):
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def run(clip: Path, model: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Track the clip into a folder, and return the exit status."""
    monkeypatch.setattr(options.ModelOptions, "load", lambda self: model)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    words = ["track", str(clip), "--box", "10,10,40,30", "--json", "--format", "png,coco", "--out"]
    return lambda name: main([*words, str(tmp_path / name)])


def poison(monkeypatch: pytest.MonkeyPatch, runtime: str, stage: str, value: float) -> None:
    """Set a number of each result of a network to a value."""
    if runtime == "torch":
        from masklet.model.sam2 import Sam2

        working = getattr(Sam2, stage)

        def call(*arguments: Any, **more: Any) -> Any:
            result = working(*arguments, **more)
            if stage == "memorize":
                return _replace_first(result.clone(), value)
            names = ("logits", "object_score") if stage == "decode" else ("stride16",)
            return result._replace(**{name: _replace_first(getattr(result, name).clone(), value) for name in names})

        monkeypatch.setattr(Sam2, stage, call)
        return
    working = Session._run

    def run_poisoned(session: Session, graph: Any, inputs: Any) -> Any:
        result = working(session, graph, inputs)
        if session.name == stage:
            for name in {"stride16", "attended", "logits", "object_score", "memories"} & result.keys():
                result[name] = _replace_first(np.array(result[name].numpy()), value)
        return result

    monkeypatch.setattr(Session, "_run", run_poisoned)


def _replace_first(array: Any, value: float) -> Any:
    """Replace the first number of each map, or of each row."""
    array[..., 0, 0] = value
    return array


@pytest.mark.parametrize(
    "value", [pytest.param(name, marks=[] if name == "nan" else pytest.mark.slow) for name in VALUES]
)
@pytest.mark.parametrize("stage", [pytest.param("encode", marks=pytest.mark.slow), *STAGES[1:]])
def test_a_network_that_is_not_finite_ends_the_run_without_its_mask(
    stage: str,
    value: str,
    model: Segmenter,
    run: Callable[[str], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("whole") == 0
    whole = read_outputs(tmp_path / "whole")
    assert len(whole) == 5
    poison(monkeypatch, model.backend.runtime, stage, VALUES[value])
    capsys.readouterr()
    assert run("out") == 70
    record = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (record.get("error") or record)["code"] == "non-finite-output"
    files = read_outputs(tmp_path / "out") if (tmp_path / "out").exists() else {}
    assert len(files) <= 1 and all(whole[name] == content for name, content in files.items())


@pytest.mark.parametrize("kind", [pytest.param(np.float32, marks=pytest.mark.slow), np.float16])
@pytest.mark.parametrize(
    "value", [name if name == "nan" else pytest.param(name, marks=pytest.mark.slow) for name in VALUES]
)
def test_weights_that_are_not_finite_are_refused(value: str, kind: type, tmp_path: Path) -> None:
    tensors = {name: np.asarray(array, kind) for name, array in weights(load_shapes()["sam2.1-micro"], 1).items()}
    last = [*tensors][-1]
    tensors[last] = tensors[last].copy()
    tensors[last].reshape(-1)[-1] = VALUES[value]
    write_released(tmp_path / "weights.pt", tensors)
    with pytest.raises(CheckpointError) as caught:
        load(tmp_path / "weights.pt", input_size=64)
    assert caught.value.code == "non-finite-weights"


def test_subnormal_weights_give_finite_masks(tmp_path: Path) -> None:
    tensors = {name: np.full(shape, 1e-42, np.float32) for name, shape in load_shapes()["sam2.1-micro"].items()}
    write_released(tmp_path / "weights.pt", tensors)
    found = load(tmp_path / "weights.pt", input_size=64).embed(np.zeros((9, 9, 3), np.uint8)).predict(click(3, 3))
    assert np.isfinite(found.logits).all() and np.isfinite(found.scores).all()


@pytest.mark.parametrize("value", VALUES.values())
@pytest.mark.parametrize(
    "make",
    [
        lambda value: click(value, 1),
        lambda value: click(1, value),
        lambda value: box(1, 1, value, 5),
        lambda value: box(-value, 1, 5, 5),
        lambda value: mask(np.full((4, 4), value)),
        lambda value: mask(np.array([[0.2, value]])),
    ],
)
def test_prompts_that_are_not_finite_are_refused(make: Callable[[float], Prompt], value: float) -> None:
    with pytest.raises(PromptError):
        make(value)


@pytest.mark.parametrize("value", VALUES.values())
def test_images_that_are_not_finite_are_refused_or_clipped(value: float, tmp_path: Path) -> None:
    image = np.full((9, 9), 0.5, np.float32)
    image[4, 4] = value
    Image.fromarray(image).save(tmp_path / "image.tiff")
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "image.tiff")
    assert caught.value.code == "float-needs-range"
    assert read_image(tmp_path / "image.tiff", value_range=(0, 1)).dtype == np.uint8


@pytest.mark.slow
@pytest.mark.parametrize("value", VALUES.values())
@pytest.mark.parametrize("stage", ["encode", "decode"])
def test_an_overflow_of_float16_is_an_error(
    stage: str, value: float, checkpoint: Callable[[str, int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(checkpoint("sam2.1-micro", 1), dtype="float16", device="cpu", runtime="torch", input_size=64)
    poison(monkeypatch, "torch", stage, value)
    with pytest.raises(BackendError) as caught:
        model.embed(np.zeros((9, 9, 3), np.uint8)).predict(click(3, 3))
    assert caught.value.code == "non-finite-output" and "float16" in str(caught.value)
