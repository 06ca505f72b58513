"""T9: a disk that fails, is full, or loses what was not flushed, costs no finished frame."""

from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from masklet.jobs.frame_log import FrameLog
from support.lost_writes import LostWrites, Tree, write_tree
from support.track_runs import read_outputs, track, use_fake_backend, write_frames
from support.zygote import count_frames


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("frames"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads open files through /proc")
@pytest.mark.parametrize("count", [16, pytest.param(500, marks=pytest.mark.slow)])
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
        for source in (None, chance, chance):
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
    assert len(cuts) >= 500 and len(finished) == 6
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
