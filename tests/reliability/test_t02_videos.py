"""T2: damaged videos give their frames or an error, within 10 s of CPU time; no file that they name is opened."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from fuzzing.canary import Canary
from fuzzing.kinds.videos import CLIPS
from fuzzing.mutation import mutate_bytes
from fuzzing.run import run_kind
from masklet.errors import VideoError
from masklet.video import open_video
from support.clips import write_clip


@pytest.mark.parametrize("count", [90, pytest.param(5_400, marks=pytest.mark.slow)])
def test_damaged_videos(count: int) -> None:
    """A ninth of the inputs each: five containers, the audio of three, and files that name a canary."""
    report = run_kind("videos", count, seed=2)
    report.require_success()
    assert report.checks == count
    assert report.codes["read"]


@pytest.mark.parametrize("count", [2, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::masklet.errors.MaskletWarning")
def test_a_decoder_process_that_ends_while_it_reads_damaged_files_is_an_error(count: int, tmp_path: Path) -> None:
    """In half of the runs the process is killed, in the others the damage is left to it."""
    import random

    rng = random.Random(2)
    for number in range(count):
        suffix = [*CLIPS][number % len(CLIPS)]
        path = write_clip(tmp_path / f"clip.{suffix}", 8, **CLIPS[suffix])
        path.write_bytes(path.read_bytes() if number % 2 else mutate_bytes(path.read_bytes(), rng))
        try:
            with open_video(path) as video:
                if number % 2:
                    os.kill(video._decoder._process.pid, signal.SIGSEGV)
                    with pytest.raises(VideoError) as caught:
                        list(video)
                    assert caught.value.code == "decoder-crashed"
                else:
                    assert len(list(video)) == len(video)
        except VideoError as error:
            assert number % 2 == 0 and error.exit_status in (65, 77)


@pytest.mark.skipif(sys.platform != "linux", reason="uses inotify")
def test_the_canary_notices_that_it_is_opened(tmp_path: Path) -> None:
    canary = Canary(tmp_path / "canary")
    assert not canary.was_opened()
    canary.path.read_bytes()
    assert canary.was_opened()
    assert not canary.was_opened()
