"""Cameras that are none: one plays what it is told, one plays a file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from masklet.video import VideoOptions, open_video
from masklet.video.cameras import CameraImage


class FakeCamera:
    """Shows `shots` one after the other, `pause` seconds apart. A shot may be a picture, None, or something to do."""

    live = True

    def __init__(self, shots: Iterator[Any], pause: float = 0.005) -> None:
        self.shots, self.pause, self.closed = shots, pause, False

    def read(self) -> CameraImage | None:
        time.sleep(self.pause)
        shot = next(self.shots, None)
        shot = shot() if callable(shot) else shot
        return None if shot is None else CameraImage(shot)

    def close(self) -> None:
        self.closed = True


class FileCamera:
    """A file played as a camera that has an end: it waits for its pictures to be taken."""

    live = False

    def __init__(self, path: Path) -> None:
        self.frames = iter(open_video(path, VideoOptions(isolated=False)))

    def read(self) -> CameraImage:
        frame = next(self.frames, None)
        if frame is None:
            raise EOFError
        return CameraImage(frame.image, frame.time)

    def close(self) -> None:
        pass
