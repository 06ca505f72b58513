"""Images and times of the frames that video formats show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from masklet.formats.format import Clip
from masklet.formats.video_encoder import Timing
from masklet.masks.rle_frame import RleFrame

DEFAULT_FRAME_RATE = 25  # for a video without times, such as a folder of images
_TICK = Fraction(1, 90_000)  # seconds; the usual frame rates and milliseconds are whole numbers of it


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """Presentation times of frames in `timing.time_base`, from `start` seconds of the source to before `stop`."""

    timing: Timing
    start: float
    stop: float

    def durations(self, frames: Iterable[RleFrame]) -> Iterator[int]:
        """Yield how long each frame is shown, in units of the time base: until the next one, or `stop`."""
        ticks = map(self.ticks, frames)
        before = next(ticks)
        for after in ticks:
            yield max(1, after - before)
            before = after
        yield max(1, round((Fraction(self.stop) - Fraction(self.start)) / self.timing.time_base) - before)

    def ticks(self, frame: RleFrame) -> int:
        """Return the presentation time of a frame in units of the time base."""
        return round((Fraction(_time(frame)) - Fraction(self.start)) / self.timing.time_base)


def frame_times(frames: Iterable[RleFrame], time_base: Fraction = _TICK) -> FrameTimes:
    """Compute the times of a clip in `time_base`.

    A clip that starts after the first frame of its video starts at time 0, and so does one whose first frame has a
    negative time.
    """
    first = last = None
    count = 0
    for last in frames:
        first = first or last
        count += 1
    assert first is not None and last is not None, "a video has frames"
    length = _time(last) - _time(first)
    rate = Fraction((count - 1) / length).limit_denominator(1001) if length > 0 else Fraction(DEFAULT_FRAME_RATE)
    start = _time(first) if first.index else min(0.0, _time(first))
    return FrameTimes(Timing(time_base, rate), start, _time(last) + 1 / float(rate))


def pair_with_images(frames: Iterable[RleFrame], clip: Clip) -> Iterator[tuple[RleFrame, NDArray[np.uint8]]]:
    """Yield every frame with its image (H, W, 3) uint8 RGB."""
    assert clip.video is not None, "a format that shows images has the video"
    indices = [frame.index for frame in frames]
    images = clip.video.frames(range(indices[0], indices[-1] + 1))
    for frame in frames:
        yield frame, next(decoded.image for decoded in images if decoded.index == frame.index)


def _time(frame: RleFrame) -> float:
    return frame.index / DEFAULT_FRAME_RATE if frame.time is None else frame.time
