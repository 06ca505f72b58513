"""Images and times of the frames that video formats show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from masklet.files.open_input import open_input
from masklet.formats.format import Clip
from masklet.formats.video_encoder import Timing
from masklet.masks.rle_frame import RleFrame
from masklet.video.containers import FFMPEG_DEMUXERS, check_content

DEFAULT_FRAME_RATE = 25  # for a video without times, such as a folder of images
_TICK = Fraction(1, 90_000)  # seconds; the time base for a source that has none


class OpenSource(NamedTuple):
    """The open video file of a clip and the time base of its frames in seconds; None without a file."""

    container: Any
    time_base: Fraction | None


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """Presentation times of frames in `timing.time_base`, from `start` seconds of the source to before `stop`."""

    timing: Timing
    start: float
    stop: float

    def ticks(self, frame: RleFrame) -> int:
        """Return the presentation time of a frame in units of the time base."""
        return round((Fraction(_time(frame)) - Fraction(self.start)) / self.timing.time_base)


@contextmanager
def open_source(clip: Clip) -> Iterator[OpenSource]:
    """Open the video file of a clip for its audio and its time base."""
    if clip.path is None or not clip.path.is_file():
        yield OpenSource(None, None)
        return
    options = {"format_whitelist": FFMPEG_DEMUXERS, "protocol_whitelist": "file"}
    with open_input(clip.path) as handle:
        check_content(handle, str(clip.path))
        with av.open(handle, options=options, io_open=_refuse) as container:
            yield OpenSource(container, next((stream.time_base for stream in container.streams.video), None))


def frame_times(frames: Iterable[RleFrame], time_base: Fraction | None) -> FrameTimes:
    """Compute the times of a clip. A clip that starts after the first frame of its video starts at time 0."""
    first = last = None
    count = 0
    for last in frames:
        first = first or last
        count += 1
    assert first is not None and last is not None, "a video has frames"
    length = _time(last) - _time(first)
    rate = Fraction((count - 1) / length).limit_denominator(1001) if length > 0 else Fraction(DEFAULT_FRAME_RATE)
    start = _time(first) if first.index else 0.0
    return FrameTimes(Timing(time_base or _TICK, rate), start, _time(last) + 1 / float(rate))


def pair_with_images(frames: Iterable[RleFrame], clip: Clip) -> Iterator[tuple[RleFrame, NDArray[np.uint8]]]:
    """Yield every frame with its image (H, W, 3) uint8 RGB."""
    assert clip.video is not None, "a format that shows images has the video"
    indices = [frame.index for frame in frames]
    images = clip.video.frames(range(indices[0], indices[-1] + 1))
    for frame in frames:
        yield frame, next(decoded.image for decoded in images if decoded.index == frame.index)


def _refuse(*arguments: Any) -> Any:
    raise PermissionError("a video file must not open other files")


def _time(frame: RleFrame) -> float:
    return frame.index / DEFAULT_FRAME_RATE if frame.time is None else frame.time
