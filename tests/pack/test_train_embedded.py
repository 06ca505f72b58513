"""The runs of scripts/train-embedded, without training."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch")

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "embedded.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("embedded", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_interrupted_run_with_fresh_resumes_with_fresh(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(script, "_run_module", lambda *words: commands.append([str(word) for word in words]))
    (tmp_path / "nano-images").mkdir()
    (tmp_path / "nano-images" / script.STATE).touch()
    for later in ("nano-video", "nano-follow"):
        (tmp_path / later).mkdir()
    words = ["--resume", "--out", tmp_path, "--pack", tmp_path, "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["train-embedded", *map(str, words)])
    script.main()
    trained = [words for words in commands if words[:2] == ["masklet", "train"]]
    assert [words[2] for words in trained] == ["nano-images", "nano-video", "nano-follow"]
    assert "--resume" in trained[0] and not [word for word in trained[0] if word.startswith("--set=initial_weights=")]
    assert f"--set=initial_weights={tmp_path / 'nano-images' / script.WEIGHTS}" in trained[1]
