"""Fake cameras: one plays a script, the other a video file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.video import VideoOptions, open_video
from masklet.video.camera_connection import CameraImage


class FakeCamera:
    """Plays a script.

    Args:
        script: For each read an image, None for no image, or a function that returns either.
        pause_s: Seconds before each read returns.
    """

    live = True

    def __init__(self, script: Iterator[Any], pause_s: float = 0.005) -> None:
        self.script, self.pause_s, self.is_closed = script, pause_s, False

    def read(self) -> CameraImage | None:
        """Return the next image of the script."""
        time.sleep(self.pause_s)
        step = next(self.script, None)
        image = step() if callable(step) else step
        return None if image is None else CameraImage(image)

    def close(self) -> None:
        """Record that the camera has been closed."""
        self.is_closed = True


class FileCamera:
    """Plays a video file as a source with an end, which waits until its images are taken."""

    live = False

    def __init__(self, path: Path) -> None:
        self.frames = iter(open_video(path, VideoOptions(isolated=False)))

    def read(self) -> CameraImage:
        """Return the next frame."""
        frame = next(self.frames, None)
        if frame is None:
            raise EOFError
        return CameraImage(frame.image, frame.time)

    def close(self) -> None:
        """Do nothing."""


def make_square(place: int, size: tuple[int, int] = (48, 64)) -> NDArray[np.uint8]:
    """A frame with a bright square that moves to the right; the corner pixel changes, so that no frame repeats."""
    image = np.full((*size, 3), 40, np.uint8)
    image[10:30, 4 + place % 30 : 24 + place % 30] = 200
    image[0, 0] = place % 256
    return image


def make_squares(number: int | None = None) -> Iterator[Any]:
    """Frames of `make_square`, by default without an end."""
    return (make_square(place) for place in (count() if number is None else range(number)))
