"""A Python without fcntl, resource and SIGHUP, such as that of Windows, runs the commands. Simulated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from masklet.errors import ResourceError, StateError
from masklet.files.lock import Lock, LockingUnsupported
from masklet.formats import read_masks
from masklet.project.project import Project
from support.gray_world import draw_boxes
from support.like_windows import Msvcrt

TESTS = Path(__file__).resolve().parents[1]
PROGRAM = TESTS / "support" / "like_windows.py"


def run_like_windows(*words: object) -> subprocess.CompletedProcess[str]:
    """Run `masklet WORDS…` in a Python like that of Windows."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, str(PROGRAM), *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, encoding="cp1252", timeout=120)


@pytest.mark.slow
def test_images_are_segmented_and_frames_are_tracked(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(3):
        Image.fromarray(draw_boxes({50: (number, 0, 8 + number, 8)})).save(frames / f"{number:05d}.png")
    image = ["segment", frames / "00000.png", "--out", tmp_path / "image", "--format", "coco"]
    segmented = run_like_windows(*image, "--box", "0,0,8,8", "--json")
    assert segmented.returncode == 0, segmented.stderr
    assert json.loads(segmented.stdout)["pictures"][0]["objects"][0]["area"] == 64
    video = ["track", frames, "--out", tmp_path / "video", "--format", "coco,overlay"]
    for more in ([], ["--resume"]):
        tracked = run_like_windows(*video, "--box", "0,0,8,8", "--json", *more)
        assert tracked.returncode == 0, tracked.stderr
        record = json.loads(tracked.stdout)
        assert (record["frames"], record["frames_finished_before"]) == (3, 3 if more else 0)
        assert [frame.masks.areas.tolist() for frame in read_masks(record["files"]["coco"])] == [[64]] * 3


@pytest.fixture
def windows_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", Msvcrt())
    monkeypatch.setitem(sys.modules, "fcntl", None)


@pytest.mark.usefixtures("windows_locks")
@pytest.mark.parametrize("wait", [False, True])
def test_the_lock_of_windows_excludes_others_and_leaves_the_name_of_its_holder_readable(
    wait: bool, tmp_path: Path
) -> None:
    with Lock(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text().startswith(f"process {os.getpid()} on ")
        with pytest.raises(StateError, match=f"is in use by process {os.getpid()} on ") as caught:
            Lock(tmp_path / "lock", wait=wait)
        assert caught.value.code == "job-locked"
    Lock(tmp_path / "lock").release()


def test_a_python_without_locks_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(LockingUnsupported, match="this Python cannot lock files, it has no fcntl"):
        Lock(tmp_path / "lock")
    with pytest.raises(ResourceError, match="this Python cannot lock files, it has no fcntl") as caught:
        Project.open(tmp_path / "project", create=True)
    assert caught.value.code == "output-failed"
