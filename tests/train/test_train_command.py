"""`masklet train`: the files of a run, resumption, fine-tuning and refused arguments."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import masklet
from masklet.checkpoints import read_tensors
from masklet.checkpoints.hub import get_embedded_path
from masklet.checkpoints.key_names import to_masklet
from masklet.cli.main import main

SMALL = [
    word
    for change in (
        *("input_sizes=64", "input_size_starts=0.0", "images_per_batch=2", "objects_per_image=1"),
        *("correction_clicks=0,1", "trainable=mask_decoder"),
    )
    for word in ("--set", change)
]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of images with masks: white squares on black."""
    root = tmp_path / "squares"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for number in range(3):
        mask = np.zeros((80, 100), np.uint8)
        mask[20:60, 10 + 10 * number : 60] = 255
        cv2.imwrite(str(root / "images" / f"{number}.png"), np.dstack([mask] * 3))
        cv2.imwrite(str(root / "masks" / f"{number}.png"), mask)
    return root


def run(images: Path, out: Path, *words: str) -> int:
    return main(["train", "nano-images", "--data", str(images), "--out", str(out), "--workers", "0", *SMALL, *words])


def test_a_run_writes_weights_report_log_and_settings(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    steps = ("--set", "steps=20", "--set", "minutes=0")
    assert run(images, out, *steps, "--validate", str(images), "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["steps"] == 20
    assert "step 20  images 64 px  loss" in captured.err
    assert masklet.load(out / "weights.safetensors").config.name == "nano"
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg") == 12
    assert "IoU on other data" in page
    assert 'model = "nano"' in (out / "settings.toml").read_text()
    assert list(out.glob("events.out.tfevents.*"))


def test_a_run_is_resumed_only_with_the_option(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(images, out, "--set", "steps=1", "--set", "minutes=0") == 0
    assert run(images, out, "--set", "steps=2", "--set", "minutes=0") == 73
    assert "--resume" in capsys.readouterr().err
    assert run(images, out, "--set", "steps=2", "--set", "minutes=0", "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2


def test_fine_tuning_starts_from_the_model_in_the_package(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    steps = ("--set", "steps=1", "--set", "minutes=0", "--set", "learning_rate=1e-9")
    words = ["train", "nano-finetune", "--data", str(images), "--out", str(out), "--workers", "0"]
    assert main([*words, *SMALL, *steps]) == 0
    before, after = (to_masklet(read_tensors(path)) for path in (get_embedded_path(), out / "weights.safetensors"))
    assert before.keys() == after.keys()
    assert all(np.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_a_released_checkpoint_is_fine_tuned_and_keeps_its_format(
    images: Path, tmp_path: Path, checkpoint: Callable[[str, int], Path]
) -> None:
    out = tmp_path / "run"
    model = ("--set", "model=sam2.1-micro", "--set", f"initial_weights={checkpoint('sam2.1-micro', 1)}")
    steps = ("--set", "steps=1", "--set", "minutes=0", "--set", "precision=float32")
    words = ["train", "finetune-decoder", "--data", str(images), "--out", str(out), "--workers", "0"]
    assert main([*words, *SMALL, *model, *steps]) == 0
    released = tmp_path / "tuned.pt"
    assert main(["models", "convert", str(out / "weights.safetensors"), str(released)]) == 0
    before, after = (read_tensors(path) for path in (checkpoint("sam2.1-micro", 1), released))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert before.keys() == after.keys()
    assert changed and all(name.startswith("sam_mask_decoder") for name in changed)


def test_the_presets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "list"]) == 0
    assert "finetune-decoder  sam2.1-tiny" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (["train", "nano-images"], 2, "--out"),
        (["train", "nano-image", "--out", "x", "--data", "y"], 78, "did you mean 'nano-images'"),
        (["train", "nano-images", "--out", "x"], 78, "--data"),
        (["train", "nano-images", "--out", "x", "--data", "nowhere"], 66, "nowhere"),
        (["train", "nano-images", "--out", "x", "--data", "y", "--set", "learning_rat=1"], 78, "mean 'learning_rate'"),
    ],
)
def test_wrong_arguments_are_refused(
    words: list[str], status: int, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == status
    assert complaint in capsys.readouterr().err
