"""Report B1: the times of an overlay ascend where those of the video go back or are below 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from masklet.errors import MaskletWarning
from masklet.video import VideoOptions, open_video
from support.sound_clips import measure_sounds, write_sound_clip
from support.tracked_overlays import save_overlay, track_overlay, use_fake_backend


@pytest.fixture(autouse=True)
def fake_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_backend(monkeypatch)


def test_b1_joined_recordings_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "joined.ts"
    path.write_bytes(write_sound_clip(tmp_path / "h264.ts", container="mpegts").read_bytes() * 2)

    status, times = track_overlay(path)

    assert (status, len(times)) == (0, 24)
    assert np.diff(times) == pytest.approx(0.1, abs=0.01)


def test_b1_frames_of_joined_recordings_have_the_times_of_the_list(tmp_path: Path) -> None:
    path = tmp_path / "joined.ts"
    path.write_bytes(write_sound_clip(tmp_path / "h264.ts", container="mpegts").read_bytes() * 2)
    with pytest.warns(MaskletWarning, match="pts-irregular"):
        opened = open_video(path, VideoOptions(isolated=False))
    with opened:
        video: Any = opened
        assert [frame.time for frame in video] == list(video.times)
        assert np.diff(video.times) == pytest.approx(0.1, abs=0.01)


def test_times_below_0_keep_their_distances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "early.mkv"
    options = {"avoid_negative_ts": "disabled"}
    write_sound_clip(path, "mjpeg", pixel_format="yuvj420p", sounds=("pcm_s16le",), first_time=-5, options=options)

    times = save_overlay(path, monkeypatch)

    assert len(times) == 12
    assert np.diff(times) == pytest.approx(0.1, abs=0.01)
    assert measure_sounds(tmp_path / "out-early.mkv/overlay.mp4")[0][2] == pytest.approx(0.5, abs=0.05)
