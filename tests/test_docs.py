"""What the README shows runs, and says no more than is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import masklet
from clips import write_clip
from masklet.cli.main import app
from masklet.formats import FORMATS
from masklet.segmenter import Segmenter
from masklet.video import cameras
from masklet.video.cameras import Shot
from parity.inputs import frames as drawn

pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
VIDEO = (ROOT / "docs" / "video.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_readme_is_short_and_starts_with_something_to_run() -> None:
    lines = README.splitlines()
    assert len(lines) <= 150
    assert any(line.startswith("masklet segment") for line in lines[:25])


def test_the_python_in_the_readme_runs(
    checkpoint: Callable[[str, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = masklet.load(checkpoint("sam2.1-micro", 1), device="cpu", size=64)
    monkeypatch.setattr(masklet, "load", lambda *name, zoom=0.0: Segmenter(small.backend, zoom))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    clip = drawn(4, 720, 1280, 3)
    write_clip(tmp_path / "dog.mp4", 4, size=(720, 1280))
    names: dict[str, Any] = {"frames": clip, "first_frame": clip[0]}
    for block in blocks("python"):
        exec(block, names)
    assert names["masks"].size == (720, 1280)
    assert (tmp_path / "cat.png").is_file()


class FewFrames:
    """A camera that shows four pictures."""

    live = False

    def __init__(self, index: int, size: object) -> None:
        self._frames = iter(drawn(4, 96, 128, 3))

    def read(self) -> Shot:
        try:
            return Shot(next(self._frames))
        except StopIteration:
            raise EOFError from None

    def close(self) -> None: ...


def test_the_python_in_the_guide_to_video_runs(
    checkpoint: Callable[[str, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = masklet.load(checkpoint("sam2.1-micro", 1), device="cpu", size=64)
    monkeypatch.setattr(masklet, "load", lambda *name: small)
    monkeypatch.setattr(cameras, "CvGrabber", FewFrames)
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "dog.mp4", 10, size=(360, 640))
    names: dict[str, Any] = {}
    for block in blocks("python", VIDEO):
        exec(block, names)
    assert len(names["sizes"]) == len(names["frames"]) == 10
    assert names["tracker"].object_ids == (1,)
    assert {path.name for path in names["files"]} == {"png", "coco.json", "overlay.mp4"}


@pytest.mark.parametrize("text", [README, VIDEO], ids=["README", "video"])
def test_every_command_that_is_shown_can_be_read_by_the_program(text: str) -> None:
    lines = [re.sub(r"\s#.*", "", line) for block in blocks("bash", text) for line in block.splitlines()]
    commands = [words[1:] for line in lines if (words := shlex.split(line))[:1] == ["masklet"]]
    assert commands
    for words in commands:
        command: Any = get_command(app)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        assert command.make_context(command.name, words)


def test_the_guide_to_video_has_every_format() -> None:
    assert re.findall(r"^\| `(\w+)` \| `", VIDEO, flags=re.MULTILINE) == list(FORMATS)


@pytest.mark.parametrize("path", re.findall(r"`((?:src|docs|tests|examples|benchmarks|scripts)/[\w/.]*)`", README))
def test_every_place_in_the_readme_exists(path: str) -> None:
    assert (ROOT / path).exists()
