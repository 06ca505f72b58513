"""`masklet train` from the outside: a run, its page, its continuation, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import masklet
from masklet.cli.main import main

SMALL = [
    word
    for change in ("sizes=64", "size_starts=0.0", "pictures=2", "objects=1", "clicks=0,1", "trained=mask_decoder")
    for word in ("--set", change)
]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of pictures with masks: white squares on black."""
    root = tmp_path / "squares"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for number in range(3):
        mask = np.zeros((80, 100), np.uint8)
        mask[20:60, 10 + 10 * number : 60] = 255
        cv2.imwrite(str(root / "images" / f"{number}.png"), np.dstack([mask] * 3))
        cv2.imwrite(str(root / "masks" / f"{number}.png"), mask)
    return root


def run(pictures: Path, out: Path, *words: str) -> int:
    return main(["train", "nano-images", "--data", str(pictures), "--out", str(out), "--workers", "0", *SMALL, *words])


def test_a_run_leaves_weights_a_page_a_log_and_its_settings(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    steps = ("--set", "steps=20", "--set", "minutes=0")
    assert run(pictures, out, *steps, "--validate", str(pictures), "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["steps"] == 20
    assert "step 20  pictures 64 px  loss" in captured.err
    assert masklet.load(out / "weights.safetensors").config.name == "nano"
    page = (out / "report.html").read_text()
    assert page.count("data:image/jpeg") == 12
    assert "IoU on other data" in page
    assert 'model = "nano"' in (out / "settings.toml").read_text()
    assert list(out.glob("events.out.tfevents.*"))


def test_a_run_goes_on_where_it_stopped(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run(pictures, out, "--set", "steps=1", "--set", "minutes=0") == 0
    assert run(pictures, out, "--set", "steps=2", "--set", "minutes=0") == 73
    assert "--resume" in capsys.readouterr().err
    assert run(pictures, out, "--set", "steps=2", "--set", "minutes=0", "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2


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
        (["train", "nano-images", "--out", "x", "--data", "y", "--set", "rat=1"], 78, "did you mean 'rate'"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    words: list[str], status: int, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == status
    assert complaint in capsys.readouterr().err
