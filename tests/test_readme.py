"""README: everything that it shows runs, and every file that it names exists."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import masklet
from masklet.checkpoints.releases import RELEASES
from masklet.cli import options
from masklet.cli.main import main
from masklet.segmenter import Segmenter
from masklet.video import cameras
from masklet.video.camera_connection import CameraImage
from parity.inputs import frames
from support.faulty_server import send_correctly, serve

pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
CONTENT = b"weights" * 1000


def section(title: str) -> str:
    """The text below a heading."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def shell_lines(title: str) -> list[str]:
    """The lines of the shell blocks of a section."""
    return [
        line
        for block in re.findall(r"```bash\n(.*?)```", section(title), flags=re.DOTALL)
        for line in block.splitlines()
    ]


class FourFrames:
    """A camera with four frames, after which the user presses Ctrl-C."""

    live = True

    def __init__(self, index: int, size: object) -> None:
        self._frames = iter(frames(4, 96, 128, 3))
        self._interrupted = False

    def read(self) -> CameraImage | None:
        frame = next(self._frames, None)
        if frame is None:
            time.sleep(0.1)
            if Path("session.mp4").is_file() and not self._interrupted:  # the session has started
                self._interrupted = True
                os.kill(os.getpid(), signal.SIGINT)
            return None
        return CameraImage(frame)

    def close(self) -> None: ...


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the examples."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def small_model(checkpoint: Callable[[str, int], Path], monkeypatch: pytest.MonkeyPatch) -> Segmenter:
    """A model with formula weights in place of the embedded one, since the text is tested here and not the masks."""
    model = masklet.load(checkpoint("sam2.1-micro", 1), device="cpu", input_size=64)
    monkeypatch.setattr(masklet, "load", lambda: model)
    monkeypatch.setattr(options.ModelOptions, "load", lambda self: model)
    return model


@pytest.fixture
def mirror(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A loopback server in place of the publisher's, which has a small file under the released name."""
    release = RELEASES["sam2.1-tiny"]
    small = replace(release, size_bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setitem(RELEASES, release.name, small)
    monkeypatch.setenv("MASKLET_HOME", str(folder / "home"))
    with serve(CONTENT, send_correctly) as server:
        (folder / "home").mkdir()
        (folder / "home" / "mirror.txt").write_text(server.url)
        yield


def test_it_is_short_and_starts_with_a_command_to_run() -> None:
    assert len(README.splitlines()) <= 150
    assert "bin/masklet segment" in "".join(shell_lines("Quickstart")[:1])


@pytest.mark.usefixtures("small_model")
def test_its_python_runs(folder: Path) -> None:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)
    assert names["masks"].size == Image.open("examples/cat.jpg").size[::-1]
    assert names["frame"].index == 71
    assert (folder / "cat.png").is_file()


@pytest.mark.usefixtures("small_model", "mirror")
def test_its_commands_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "OpenCvSource", FourFrames)
    monkeypatch.setattr(webbrowser, "open", lambda address: True)
    for line in shell_lines("Command line"):
        program, *words = shlex.split(line)
        assert program == "masklet"
        words = [file for word in words for file in (sorted(map(str, folder.glob(word))) if "*" in word else [word])]
        if words[0] == "everything":
            words += ["--points-per-side", "2"]  # the default of 32 takes minutes
        assert main(words) == 0, line
    assert {path.name for path in (folder / "car").iterdir()} >= {"png", "coco.json", "overlay.mp4"}
    assert (folder / "session.mp4").is_file()


@pytest.mark.slow
def test_its_first_command_sets_up_and_segments_a_photograph(tmp_path: Path) -> None:
    (line,) = shell_lines("Quickstart")
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    subprocess.run(line.replace("python3", sys.executable), shell=True, cwd=tmp_path, check=True, timeout=1200)
    assert Image.open(tmp_path / "masks/fish.overlay.jpg").size == Image.open(ROOT / "examples/fish.jpg").size


@pytest.mark.slow
def test_its_test_command_runs_the_tests() -> None:
    (line,) = shell_lines("Tests")
    done = subprocess.run([*shlex.split(line), "tests/masks/test_rle.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and " passed" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "path", re.findall(r"[`(]((?:src|docs|tests|examples|benchmarks|scripts)/[\w/.-]*)[`)]", README)
)
def test_every_file_that_it_names_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_its_table_of_models_has_every_release() -> None:
    named = set(re.findall(r"`([\w.-]+)`", section("Models")))
    assert set(RELEASES) | {"nano"} <= named
