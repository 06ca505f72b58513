"""Overlays of `masklet track` with a backend without a network, and of `save_masks` without other processes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from masklet.cli import options
from masklet.cli.main import main
from masklet.formats import save_masks
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame
from masklet.memory.policies import parse_memory
from masklet.segmenter import Segmenter
from masklet.video import VideoOptions, open_video
from masklet.video.video_file import VideoFile
from masklet.views.view_fields import view_of_zoom
from support.fake_backend import FakeBackend
from support.sound_clips import BOX, read_times


def use_fake_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the model of the command line, and do not wait for the disk."""

    def load(self: options.ModelOptions) -> Segmenter:
        return Segmenter(FakeBackend(), view_of_zoom(self.zoom or 0.0), parse_memory(self.memory))

    monkeypatch.setattr(options.ModelOptions, "load", load)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def track_overlay(source: Path) -> tuple[int, list[float]]:
    """Track the square of a clip of `sound_clips`; return the exit status and the times of the overlay's frames."""
    out = source.parent / f"out-{source.name}"
    box = ",".join(map(str, BOX))
    words = ["track", str(source), "--box", box, "--format", "overlay", "--input-size", "256", "--zoom", "0"]
    status = main([*words, "--out", str(out)])
    return status, read_times(out / "overlay.mp4")


def save_overlay(source: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Write an overlay of all frames of a clip in this process; return the times of its frames."""
    monkeypatch.setattr("masklet.formats.audio.can_start_child", lambda: False)
    video = open_video(source, VideoOptions(isolated=False))
    assert isinstance(video, VideoFile)
    mask = np.zeros(video.size, np.bool_)
    mask[BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
    frames = [TrackedFrame(index, time, Masks.from_binary(mask)) for index, time in enumerate(video.times)]
    (path,) = save_masks(frames, source.parent / f"out-{source.name}", ["overlay"], video=video, path=source)
    return read_times(path)
