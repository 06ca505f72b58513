"""`masklet track` with mattes: a job that is stopped and resumed writes the bytes of one that is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from masklet.cli import track_run
from support.track_runs import read_outputs, track, write_frames

MATTES = "png,matte_prores,matte_mp4,matte_png,matte_exr"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("frames"))


@pytest.mark.usefixtures("quick")
def test_mattes_of_a_resumed_job_are_those_of_one_that_was_not_stopped(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [folder, "--box", "10,10,40,40", "--point", "70,50#12", "--stop", "6", "--format", MATTES]
    assert track(*words, "--out", tmp_path / "a") == 0
    add = track_run.FrameLog.append

    def interrupt(log: Any, frame: Any) -> None:
        if len(log) == 3:
            raise KeyboardInterrupt
        add(log, frame)

    with monkeypatch.context() as patched:
        patched.setattr(track_run.FrameLog, "append", interrupt)
        assert track(*words, "--out", tmp_path / "b") == 130
    assert track(*words, "--out", tmp_path / "b", "--resume") == 0
    outputs = read_outputs(tmp_path / "a")
    assert outputs == read_outputs(tmp_path / "b")
    assert {"matte_prores/object_0001.mov", "matte_mp4/object_0012.mp4", "matte_exr/object_0012/frame_000005.exr"} <= (
        outputs.keys()
    )
    assert read_levels(tmp_path / "b") > 8, "edges are soft"
    (tmp_path / "b" / "matte_mp4/object_0012.mp4").unlink()
    (tmp_path / "b" / "matte_png/object_0001/frame_000003.png").unlink()
    assert track(*words, "--out", tmp_path / "b", "--resume") == 0
    assert outputs == read_outputs(tmp_path / "b"), "files that were removed are written again"
    assert track(*words, "--out", tmp_path / "b", "--overwrite", "--format", "png") == 0
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [".masklet", "png"]


@pytest.mark.usefixtures("quick")
def test_mattes_that_are_added_to_a_finished_job_have_smoothed_edges_and_a_warning(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [folder, "--box", "10,10,40,40", "--stop", "3", "--out", tmp_path]
    assert track(*words, "--format", "png") == 0
    assert "edges-missing" not in capsys.readouterr().err
    assert track(*words, "--format", "matte_png", "--resume") == 0
    assert "3 frames were tracked without mattes" in capsys.readouterr().err
    assert read_levels(tmp_path) > 2


def read_levels(out: Path) -> int:
    """The number of different levels of the first object's matte on frame 1."""
    image = cv2.imread(str(out / "matte_png/object_0001/frame_000001.png"), cv2.IMREAD_UNCHANGED)
    assert image is not None and image.dtype == np.uint16
    return len(np.unique(image))
