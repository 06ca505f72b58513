"""What the README shows runs, and says no more than is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import masklet
from clips import write_clip
from masklet.cli.main import app
from parity.inputs import frames as drawn

pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_readme_is_short_and_starts_with_something_to_run() -> None:
    lines = README.splitlines()
    assert len(lines) <= 150
    assert any(line.startswith("masklet segment") for line in lines[:25])


def test_the_python_in_the_readme_runs(
    checkpoint: Callable[[str, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = masklet.load(checkpoint("sam2.1-micro", 1), device="cpu", size=64)
    monkeypatch.setattr(masklet, "load", lambda name: small)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    clip = drawn(4, 720, 1280, 3)
    write_clip(tmp_path / "dog.mp4", 4, size=(720, 1280))
    names: dict[str, Any] = {"frames": clip, "first_frame": clip[0]}
    for block in blocks("python"):
        exec(block, names)
    assert names["masks"].size == (720, 1280)
    assert (tmp_path / "cat.png").is_file()


def test_every_command_in_the_readme_is_one_of_the_program() -> None:
    known = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    shown = set(re.findall(r"^masklet (\w+)", "\n".join(blocks("bash")), flags=re.MULTILINE))
    assert shown
    assert shown <= known


@pytest.mark.parametrize("path", re.findall(r"`((?:src|docs|tests|examples|benchmarks|scripts)/[\w/.]*)`", README))
def test_every_place_in_the_readme_exists(path: str) -> None:
    assert (ROOT / path).exists()
