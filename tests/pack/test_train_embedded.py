"""The runs of scripts/train-embedded, without training, and their training data."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, whose modules are recorded in `commands` instead of run."""
    module = load_script("embedded")
    module.commands = []
    monkeypatch.setattr(module, "_run_module", lambda *words: module.commands.append([str(word) for word in words]))
    return module


def run_script(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: object) -> list[list[str]]:
    """Run the script and return the arguments of `masklet train` of each stage."""
    monkeypatch.setattr(sys, "argv", ["train-embedded", *map(str, words), "--device", "cpu"])
    script.main()
    return [command[command.index("train") + 1 :] for command in script.commands if "train" in command]


def write_images(folder: Path, *names: str, source: str = "coco_open") -> Path:
    rows = []
    for name in names:
        for file in (f"{name}.jpg", f"{name}.png"):
            cv2.imwrite(str(folder / file), np.ones((8, 8), np.uint8))
        files = {"image": f"{name}.jpg", "mask": f"{name}.png"}
        rows.append({**files, "objects": [[1, "cup"]], "exhaustive": False, "source": source})
    (folder / "index.json").write_text(json.dumps({"images": rows}))
    return folder


def test_a_resumed_run_starts_each_stage_from_the_one_before(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lite-start").mkdir()
    (tmp_path / "lite-start" / script.STATE).touch()
    for later in ("lite-images", "lite-follow"):
        (tmp_path / later).mkdir()
    trained = run_script(script, monkeypatch, "--resume", "--out", tmp_path, "--pack", tmp_path)
    assert [words[0] for words in trained] == ["lite-start", "lite-images", "lite-follow"]
    assert "--resume" in trained[0] and f"--set=initial_trunk={tmp_path / script.TRUNK}" in trained[0]
    assert not [word for word in trained[0] if word.startswith("--set=initial_weights=")]
    assert f"--set=initial_weights={tmp_path / 'lite-start' / script.WEIGHTS}" in trained[1]


def test_a_run_from_weights_leaves_out_the_stage_with_a_frozen_trunk(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = tmp_path / "start.safetensors"
    for stage in ("lite-images", "lite-follow"):
        (tmp_path / stage).mkdir()
    trained = run_script(script, monkeypatch, "--resume", "--start", start, "--out", tmp_path, "--pack", tmp_path)
    assert [words[0] for words in trained] == ["lite-images", "lite-follow"]
    assert f"--set=initial_weights={start}" in trained[0]


def test_measured_and_validation_images_are_not_trained_on(tmp_path: Path) -> None:
    module = load_script("embedded_data")
    lists = module.MEASURED_IMAGES, module.VALIDATION_IMAGES
    measured, validation = (min(module.read_names(names)) for names in lists)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = write_images(tmp_path / "one", measured, validation, "other")
    two = write_images(tmp_path / "two", "wall", source="facades")
    indexes = module.write_indexes([one, two], tmp_path / "out")
    names = {group: [row["image"] for row in json.loads(path.read_text())["images"]] for group, path in indexes.items()}
    assert names == {"everyday": ["0/other.jpg"], "special": ["1/wall.jpg"], "validation": [f"0/{validation}.jpg"]}
    assert all((indexes[group].parent / name).is_file() for group in names for name in names[group])
