"""Runs of `masklet track` in tests: its input, its output, and a model without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masklet.cli import options
from masklet.cli.main import main
from masklet.memory.policies import parse_memory
from masklet.segmenter import Segmenter
from masklet.views.view_fields import view_of_zoom
from support.fake_backend import FakeBackend

COUNT = 24
"""Number of frames in a folder that `write_frames` writes."""


def write_frames(folder: Path) -> Path:
    """Write a folder of frames in which a red square moves to the right."""
    for index in range(COUNT):
        image = np.full((60, 90, 3), 40, np.uint8)
        image[10:40, 10 + index : 40 + index] = (200, 60, 30)
        Image.fromarray(image).save(folder / f"{index:05d}.png")
    return folder


def use_fake_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands use a backend without a network."""

    def load(self: options.ModelOptions) -> Segmenter:
        return Segmenter(FakeBackend(), view_of_zoom(self.zoom or 0.0), parse_memory(self.memory))

    monkeypatch.setattr(options.ModelOptions, "load", load)


def track(*words: str | Path) -> int:
    """Run `masklet track` and return its exit status."""
    status = main(["track", *map(str, words)])
    assert status != 1
    return status


def read_outputs(out: Path) -> dict[str, bytes]:
    """The contents of all output files by name, without the folder of the frame log."""
    files = (
        path for path in sorted(out.rglob("*")) if path.is_file() and ".masklet" not in path.relative_to(out).parts
    )
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


KILLED_JOB = [
    *("--box", "10,10,40,40@6", "--direction", "both"),
    *("--format", "png,yolo,coco,npz,overlay", "--frames", "jpg"),
]
"""Options of a job that is killed and resumed."""
