"""The pictures of a video beside the masks of its frames, and when each of them is shown."""

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
from masklet.masks.rle_frame import CodedFrame
from masklet.video.containers import READERS, refuse_references

FRAMES_PER_SECOND = 25  # where a video has no times, such as a folder of pictures
_TICK = Fraction(1, 90_000)  # the unit of time where the source has none of its own


class Source(NamedTuple):
    """The file that a clip was made from, open, and its pictures' unit of time; None where it is no file."""

    container: Any
    time_base: Fraction | None


@dataclass(frozen=True, slots=True)
class Times:
    """When frames are shown: counted in `timing.time_base`, from `start` seconds of the source to before `stop`."""

    timing: Timing
    start: float
    stop: float

    def of(self, frame: CodedFrame) -> int:
        """When a frame is shown, in units of the time base."""
        return round((Fraction(_time(frame)) - Fraction(self.start)) / self.timing.time_base)


@contextmanager
def source(clip: Clip) -> Iterator[Source]:
    """The file behind a clip, open for its sound and its timing."""
    if clip.path is None or not clip.path.is_file():
        yield Source(None, None)
        return
    options = {"format_whitelist": READERS, "protocol_whitelist": "file"}
    with open_input(clip.path) as handle:
        refuse_references(handle, str(clip.path))
        with av.open(handle, options=options, io_open=_refuse) as container:
            yield Source(container, next((stream.time_base for stream in container.streams.video), None))


def times(frames: Iterable[CodedFrame], time_base: Fraction | None) -> Times:
    """The times of a clip. One that does not begin with the video's first frame begins at time 0."""
    first = last = None
    count = 0
    for last in frames:
        first = first or last
        count += 1
    assert first is not None and last is not None, "a video has frames"
    length = _time(last) - _time(first)
    rate = Fraction((count - 1) / length).limit_denominator(1001) if length > 0 else Fraction(FRAMES_PER_SECOND)
    start = _time(first) if first.index else 0.0
    return Times(Timing(time_base or _TICK, rate), start, _time(last) + 1 / float(rate))


def pictures(frames: Iterable[CodedFrame], clip: Clip) -> Iterator[tuple[CodedFrame, NDArray[np.uint8]]]:
    """Every frame with its picture."""
    assert clip.video is not None, "formats that show pictures are written where the video is at hand"
    indices = [frame.index for frame in frames]
    found = clip.video.frames(range(indices[0], indices[-1] + 1))
    for frame in frames:
        yield frame, next(picture.image for picture in found if picture.index == frame.index)


def _refuse(*arguments: Any) -> Any:
    raise PermissionError("a video must not open other files")


def _time(frame: CodedFrame) -> float:
    return frame.index / FRAMES_PER_SECOND if frame.time is None else frame.time
