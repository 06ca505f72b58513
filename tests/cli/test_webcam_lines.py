"""`masklet webcam` for programs: lines of JSON, one image in N, and a limit of frames per second."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from masklet.cli import options, webcam_session
from masklet.cli.main import main
from masklet.masks import rle
from masklet.segmenter import Segmenter
from masklet.video import Frame, pacing
from masklet.video.cameras import Camera, CameraOptions
from masklet.video.pacing import PacedCamera
from support.cameras import FileCamera
from support.clips import write_clip
from support.color_backend import ColorBackend

PATIENT = CameraOptions(timeout_s=5, connect_timeout_s=5)


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clip of 7 frames, which is the camera of the command."""
    path = write_clip(tmp_path / "clip.mp4", 7)
    monkeypatch.setattr(options.ModelOptions, "load", lambda self: Segmenter(ColorBackend()))
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(
        webcam_session, "open_source", lambda source: Camera("a camera", lambda: FileCamera(path), PATIENT)
    )
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert main(["webcam", "--point", "20,20#3", "--label", "part#3", "--no-preview", "--json-lines", *words]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("clip")
def test_each_frame_is_a_line_with_its_capture_time_and_latency(capsys: pytest.CaptureFixture[str]) -> None:
    before = time.time()
    *lines, end = run(capsys)
    assert [line["frame"] for line in lines] == [*range(7)] and {line["event"] for line in lines} == {"frame"}
    captured = [line["captured_at"] for line in lines]
    assert captured == sorted(captured) and before - 1 < captured[0] and captured[-1] < time.time()
    for line in lines:
        assert line["latency_ms"] > 0 and line["dropped"] == 0
        (one,) = line["objects"]
        mask = rle.decode(one["rle"])
        assert one["id"] == 3 and one["label"] == "part" and [*mask.shape] == line["size"]
        assert one["area"] == np.count_nonzero(mask) and one["visible"] == (one["area"] > 0) == (one["box"] is not None)
    assert end["event"] == "end" and end["frames"] == 7 and end["frames_skipped"] == 0


@pytest.mark.usefixtures("clip")
def test_one_image_in_n_is_tracked(capsys: pytest.CaptureFixture[str]) -> None:
    *lines, end = run(capsys, "--every", "3")
    assert [line["frame"] for line in lines] == [0, 1, 2] and end["frames_skipped"] == 4
    assert [round(line["time"], 3) for line in lines] == [0, 0.3, 0.6]


@pytest.mark.usefixtures("clip")
def test_frames_have_the_requested_distance(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(pacing.time, "sleep", lambda seconds: waits.append(seconds))
    *lines, _ = run(capsys, "--max-fps", "0.5")
    assert len(lines) == 7 and len(waits) >= 6
    assert sum(1.0 < wait <= 2.0 for wait in waits) >= 6


def test_images_that_were_dropped_count_for_one_in_n() -> None:
    image = np.zeros((4, 4, 3), np.uint8)

    class Busy:
        received = 0

        def __iter__(self) -> Iterator[Frame]:
            for index, self.received in enumerate((1, 4, 6, 7, 12)):
                yield Frame(index, float(self.received), image)

    camera: Any = Busy()
    paced = PacedCamera(camera, every=4)
    assert [(frame.index, frame.time) for frame in paced] == [(0, 1.0), (1, 6.0), (2, 12.0)] and paced.skipped == 2


@pytest.mark.parametrize(
    ("words", "text"),
    [(["--json", "--json-lines"], "leave --json out"), (["--max-fps", "0"], "positive number of frames")],
)
def test_options_that_make_no_sense_are_refused(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["webcam", "--point", "1,1", "--no-preview", *words]) == 2
    assert text in capsys.readouterr().err
