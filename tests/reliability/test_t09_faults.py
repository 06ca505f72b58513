"""T9: a disk that fails, is full, or loses what was not flushed, costs no finished frame."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from masklet.files import atomic
from masklet.files.error_translation import translate_write_errors
from masklet.jobs.frame_log import FrameLog
from support.lost_writes import LostWrites, Tree, write_tree
from support.track_runs import COUNT, read_outputs, track, use_fake_backend
from support.zygote import count_frames


class Faults:
    """Makes every writing call fail, from the call with number `first` on. The fault 0 writes half of the data."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fault: int) -> None:
        self.first, self.calls, self._fault = 1 << 30, 0, fault
        for name in ("write", "fsync", "replace", "open", "mkdir"):
            monkeypatch.setattr(os, name, self._failing(getattr(os, name), name))
        write_part = atomic._Output.write

        def write(file: Any, data: Any) -> int:
            if self._passes():
                return write_part(file, data)
            if not self._fault:
                return write_part(file, memoryview(data)[: max(1, len(data) // 2)])
            with translate_write_errors(file._target, len(data)):
                raise OSError(self._fault, os.strerror(self._fault))

        monkeypatch.setattr(atomic._Output, "write", write)

    def _passes(self) -> bool:
        self.calls += 1
        return self.calls <= self.first

    def _failing(self, working: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            if (name == "open" and not arguments[1] & (os.O_RDWR | os.O_WRONLY)) or self._passes():
                return working(*arguments, **more)
            if self._fault:
                raise OSError(self._fault, os.strerror(self._fault))
            if name == "write":
                return working(arguments[0], arguments[1][: max(1, len(arguments[1]) // 2)])
            return working(*arguments, **more)

        return call


FAULTS = {"ENOSPC": 74, "EIO": 74, "EDQUOT": 74, "EACCES": 73}
"""Errors of the system with the exit status of a run that meets them."""


@pytest.mark.parametrize(
    ("stride", "formats"),
    [
        (61, "png,coco,npz"),
        *(
            pytest.param(1, formats, marks=pytest.mark.slow)
            for formats in ("png,coco,npz", "yolo,labelme,cvat,mots", "overlay,cutout,sav,ytvis")
        ),
    ],
)
@pytest.mark.parametrize(
    "fault", ["ENOSPC", *(pytest.param(name, marks=pytest.mark.slow) for name in (*FAULTS, "short write")[1:])]
)
def test_a_disk_that_fails_at_any_call_loses_nothing_that_was_finished(
    fault: str, stride: int, formats: str, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T9a."""
    use_fake_backend(monkeypatch)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    faults = Faults(monkeypatch, getattr(errno, fault, 0))
    words = [frames, "--point", "20,20", "--stop", "3", "--format", formats, "--frames", "jpg", "--out"]
    assert track(*words, tmp_path / "whole") == 0
    whole, calls = read_outputs(tmp_path / "whole"), faults.calls
    for first in range(0, calls, stride):
        out = tmp_path / str(first)
        faults.calls, faults.first = 0, first
        status = track(*words, out)
        # states are written when there is time: a quicker run has fewer calls
        assert status in (0, 73, FAULTS[fault]) if faults.calls > first and fault in FAULTS else status == 0
        faults.first = 1 << 30
        files = read_outputs(out) if out.exists() else {}
        assert all(whole[name] == content for name, content in files.items() if ".part" not in name)
        done = count_frames(out / ".masklet/journal.jsonl")
        assert "png" not in formats or sum("png/" in name for name in files) >= done
        assert track(*words, out, "--resume") == 0 and read_outputs(out) == whole
        shutil.rmtree(out)
    print(f"{fault}, {formats}: {len(range(0, calls, stride))} runs")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 600 kB; only the administrator can make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small disk takes an administrator")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "free_kb", [100, *(pytest.param(number, marks=pytest.mark.slow) for number in (4, 12, 24, 40, 64, 80, 120, 140))]
)
def test_a_full_disk_keeps_finished_frames_and_shows_how_to_resume(
    free_kb: int, frames: Path, small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """T9b."""
    out, ballast = small_disk / "out", small_disk / "ballast"
    ballast.write_bytes(bytes((600 - free_kb) << 10))
    words = [frames, "--point", "20,20", "--format", "png,labelme", "--out", out]
    assert track(*words) == 74
    error = capsys.readouterr().err
    assert "disk is full" in error and ("bytes are free" in error or "no more files" in error) and "--resume" in error
    done = count_frames(out / ".masklet/journal.jsonl")
    assert (free_kb < 100 or done > 0) and done < COUNT
    assert len(read_outputs(out / "png")) >= done
    ballast.unlink()
    assert track(*words, "--resume") == 0
    assert track(*words[:-1], tmp_path / "whole") == 0 and read_outputs(out) == read_outputs(tmp_path / "whole")


@pytest.mark.usefixtures("quick")
def test_a_place_that_cannot_be_written_is_refused(frames: Path, small_disk: Path) -> None:
    """T9b: a read-only file system, and a device in place of a folder."""
    words = [frames, "--point", "20,20", "--stop", "2", "--format", "png", "--out"]
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert track(*words, small_disk / "out") == 73
    assert track(*words, "/dev/full") == 73


@pytest.mark.skipif(sys.platform != "linux", reason="reads open files through /proc")
@pytest.mark.parametrize("count", [8, pytest.param(500, marks=pytest.mark.slow)])
def test_a_power_cut_loses_no_finished_frame(
    count: int, frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T9c. What a run left is replaced by what is on the disk after a power cut before each of its operations."""
    use_fake_backend(monkeypatch)
    words = [frames, "--point", "20,20", "--stop", "6", "--format", "png,coco,npz", "--frames", "jpg", "--out"]
    disk, finished, cuts = tmp_path / "disk", set[int](), list[tuple[set[int], Tree]]()
    disk.mkdir()
    chance = random.Random(count)

    def snapshot() -> None:
        for source in (None, *[chance] * 4):
            cuts.append(({*finished}, writes.cut(source)))

    with monkeypatch.context() as patched:
        add = FrameLog.append

        def append(log: FrameLog, frame: Any) -> None:
            add(log, frame)
            finished.add(frame.index)

        patched.setattr(FrameLog, "append", append)
        writes = LostWrites(patched, disk, snapshot)
        assert track(*words, disk / "out") == 0
        cuts.append(({*finished}, writes.cut()))
    whole = read_outputs(disk / "out")
    assert len(cuts) >= count and len(finished) == 6, len(cuts)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    chosen = [cuts[-1], *chance.sample(cuts[:-1], min(count, len(cuts)) - 1)]
    for number, (done, tree) in enumerate(chosen):
        write_tree(tmp_path / str(number), tree)
        out = tmp_path / str(number) / "out"
        files = read_outputs(out) if out.exists() else {}
        assert all(whole[name] == content for name, content in files.items() if ".part" not in name)
        assert sum(name.startswith("png/") for name in files) >= len(done)
        assert count_frames(out / ".masklet/journal.jsonl") >= len(done), "no finished frame is lost"
        assert track(*words, out, "--resume") == 0
        assert read_outputs(out) == whole
        shutil.rmtree(tmp_path / str(number))
    assert {name: content for name, content in _flatten(cuts[-1][1]["out"]).items() if ".masklet" not in name} == whole


def _flatten(tree: Tree, prefix: str = "") -> dict[str, bytes]:
    """The files of a tree by path."""
    found: dict[str, bytes] = {}
    for name, content in tree.items():
        found |= _flatten(content, f"{prefix}{name}/") if isinstance(content, dict) else {prefix + name: content}
    return found
