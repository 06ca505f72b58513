"""T16: a webcam that fails is noticed in time; it is reconnected, or the run ends with 69 and finished files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from masklet.cli import options, webcam_session
from masklet.cli.main import main
from masklet.formats import read_masks
from masklet.segmenter import Segmenter
from masklet.video.cameras import Camera, CameraOptions
from support.cameras import FakeCamera, make_square, make_squares
from support.color_backend import ColorBackend

OPTIONS = CameraOptions(timeout_s=0.4, max_reconnects=2, connect_timeout_s=2)
MAX_NOTICE_S = 30.0
"""A multiple of the time in which a loss is noticed here, since the machine may be busy."""


def block() -> None:
    """Block like a camera whose driver hangs."""
    time.sleep(60)


def fail() -> None:
    """Fail like a broken driver."""
    raise RuntimeError("the driver crashed")


LOSSES: dict[str, Callable[[], Any]] = {
    "unplugged": lambda: FakeCamera(make_squares(8)),
    "blocked": lambda: FakeCamera(chain(make_squares(8), [block])),
    "frozen": lambda: FakeCamera(chain(make_squares(8), cycle([make_square(7)]))),
    "black": lambda: FakeCamera(chain(make_squares(8), cycle([np.zeros((48, 64, 3), np.uint8)]))),
    "failing": lambda: FakeCamera(chain(make_squares(8), [fail])),
    "without images": lambda: FakeCamera(chain(make_squares(8), cycle([None]))),
}
LATER: dict[str, Callable[[], Any]] = {
    "gone": lambda: FakeCamera(iter(())),
    "blocked": lambda: FakeCamera(iter([block])),
    "failing": lambda: FakeCamera(iter([fail])),
}
DEFAULT = ("unplugged", "gone")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a backend that segments by color, and do not wait for the disk."""
    monkeypatch.setattr(options.ModelOptions, "load", lambda self: Segmenter(ColorBackend()))
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def run_webcam(
    monkeypatch: pytest.MonkeyPatch, connect: Callable[[], Any], out: Path, *words: str
) -> tuple[int, list[int]]:
    """Run `masklet webcam` until it ends; return its status and the numbers of the connections."""
    made: list[int] = []

    def count_connections() -> Any:
        made.append(len(made))
        return connect()

    monkeypatch.setattr(webcam_session, "open_source", lambda source: Camera("camera 0", count_connections, OPTIONS))
    places = ["--record", str(out / "seen.mp4"), "--out", str(out / "masks"), "--format", "png,coco"]
    status = main(["webcam", "--point", "14,20", "--no-preview", "--json", *places, *words])
    assert status != 1
    return status, made


def count_saved(out: Path) -> int:
    """Count the frames of the saved files, which agree; the recording can be played."""
    frames = len(list(read_masks(out / "masks/png")))
    assert frames == len(list(read_masks(out / "masks/coco.json")))
    with av.open(str(out / "seen.mp4")) as seen:
        assert len(list(seen.decode(video=0))) == frames
    return frames


@pytest.mark.parametrize(
    ("loss", "later"),
    [
        pytest.param(loss, later, marks=[] if (loss, later) == DEFAULT else pytest.mark.slow)
        for loss in LOSSES
        for later in LATER
    ],
)
def test_a_lost_camera_is_an_error_and_everything_is_saved(
    loss: str, later: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    connections = iter([LOSSES[loss]])
    start = time.monotonic()
    status, made = run_webcam(monkeypatch, lambda: next(connections, LATER[later])(), tmp_path)
    assert status == 69 and time.monotonic() - start < MAX_NOTICE_S
    assert len(made) == 1 + OPTIONS.max_reconnects
    caught = capsys.readouterr()
    summary = json.loads(caught.out)
    assert summary["error"]["code"] == summary["ended"] == "camera-lost" and "[camera-lost]" in caught.err
    assert 1 <= summary["frames"] == count_saved(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_a_camera_that_comes_back_is_continued(
    loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    connections = iter([LOSSES[loss]])
    status, made = run_webcam(
        monkeypatch, lambda: next(connections, lambda: FakeCamera(make_squares()))(), tmp_path, "--stop", "12"
    )
    assert status == 0 and len(made) == 2
    assert json.loads(capsys.readouterr().out)["frames"] == 12 == count_saved(tmp_path)


@pytest.mark.slow
def test_a_slow_camera_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, made = run_webcam(monkeypatch, lambda: FakeCamera(make_squares(), pause_s=0.3), tmp_path, "--stop", "4")
    assert status == 0 and len(made) == 1 and count_saved(tmp_path) == 4


@pytest.mark.slow
def test_a_change_of_size_ends_the_run_with_finished_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = chain(make_squares(8), (make_square(place, (40, 80)) for place in range(1000)))
    status, _ = run_webcam(monkeypatch, lambda: FakeCamera(script), tmp_path)
    assert status == 65 and "[resolution-changed]" in capsys.readouterr().err
    assert count_saved(tmp_path) >= 1
