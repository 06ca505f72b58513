"""Pacing: fewer frames of a camera, one in N or at most so many per second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from masklet.video.cameras import Camera
from masklet.video.frames import Frame


class PacedCamera:
    """Iterates over some images of a camera, which are numbered from 0. Each is the latest one when it is taken.

    Args:
        camera: The camera.
        every: Take one in N of the images that the camera gives, those counted that are dropped during processing.
        max_rate: The largest number of images per second; None for no limit.

    Attributes:
        skipped: The number of images that were left out because of `every`.
    """

    def __init__(self, camera: Camera, *, every: int = 1, max_rate: float | None = None) -> None:
        self._camera, self._every = camera, every
        self._interval_s = 1 / max_rate if max_rate else 0.0
        self.skipped = 0

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the images. Raises as iteration over the camera."""
        next_count, number = 1, 0
        for frame in self._camera:
            if self._camera.received < next_count:
                self.skipped += 1
                continue
            next_count, taken_at = self._camera.received + self._every, time.monotonic()
            yield replace(frame, index=number)
            number += 1
            time.sleep(max(0.0, taken_at + self._interval_s - time.monotonic()))
