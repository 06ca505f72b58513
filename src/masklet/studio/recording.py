"""Recording of a live video in a file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masklet.files.error_translation import translate_write_errors
from masklet.formats.video_encoder import H264_LIVE, Timing, VideoEncoder

_TICK_S, _FRAME_RATE = Fraction(1, 90_000), Fraction(30)


class Recording:
    """A video file that can be played at any time, even if the program is killed."""

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self.path = path
        self._start: float | None = None
        with translate_write_errors(path):
            self._file = path.open("wb")
        self._encoder = VideoEncoder(self._file, H264_LIVE, size, Timing(_TICK_S, _FRAME_RATE))

    def add(self, image: NDArray[np.uint8], seconds: float) -> None:
        """Append a frame.

        Args:
            image: Image of shape (H, W, 3), uint8 RGB.
            seconds: Time of the frame. The time of the first frame becomes 0 in the file.
        """
        self._start = seconds if self._start is None else self._start
        with translate_write_errors(self.path):
            self._encoder.add(image, round((seconds - self._start) / _TICK_S))
            self._file.flush()

    def close(self) -> None:
        """Write the end of the file."""
        with translate_write_errors(self.path), self._file:
            self._encoder.close()
