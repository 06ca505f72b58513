"""Frame seekers: find frame `index` in the output of a decoder, by its presentation time or by counting."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from fractions import Fraction
from math import nan
from typing import Any, NamedTuple, Protocol

from masklet.video.ascending_times import make_ascending
from masklet.video.demuxer import Demuxer
from masklet.video.packet_index import PacketIndex

_DEFAULT_FRAME_RATE = 25  # for a file that states none
_MAX_SEEKS = 4  # key frames to go back before decoding from the start
_MAX_FRAMES_AHEAD = 16  # a target at most this far ahead is decoded without a seek


class DecodedFrame(NamedTuple):
    """A decoded frame.

    Attributes:
        frame: PyAV's frame.
        is_lost: Whether the requested frame could not be decoded; `frame` is then the one before it.
    """

    frame: Any
    is_lost: bool


class FrameSeeker(Protocol):
    """Random access to decoded frames."""

    def frame(self, index: int) -> DecodedFrame:
        """Decode frame `index`. Raises `IndexError` after the last frame."""

    def time(self, index: int) -> float:
        """Return the presentation time of frame `index` in seconds, nan if it has none.

        Raises `IndexError` after the last frame.
        """

    def times(self) -> array[float]:
        """Return the presentation time of every frame in seconds, nan where there is none."""


class TimeSeeker:
    """Finds frames by time, in files where each frame has its own. A frame that cannot be decoded keeps its index."""

    def __init__(self, demuxer: Demuxer, index: PacketIndex) -> None:
        self._demuxer, self._index, self._time_base = demuxer, index, float(demuxer.stream.time_base)
        self._restart()
        index.drop_before(None if self._next is None else self._next.pts)

    def times(self) -> array[float]:
        """Return the presentation time of every frame in seconds."""
        return array("d", [time * self._time_base for time in self._index.frame_times])

    def time(self, index: int) -> float:
        """Return the presentation time of frame `index` in seconds."""
        return self._index.frame_times[index] * self._time_base

    def frame(self, index: int) -> DecodedFrame:
        """Decode frame `index` from the last key frame before it, or from the last requested frame."""
        target = self._index.frame_times[index]
        if self._current is None or self._current.pts != target:
            if not self._is_ahead(target):
                self._seek(target)
            while self._next is not None and self._next.pts <= target:
                self._advance()
        assert self._current is not None, "a seek ends at or before the target"
        return DecodedFrame(self._current, self._current.pts != target)

    def _is_ahead(self, target: int) -> bool:
        """Return whether further decoding reaches the target at least as fast as a seek."""
        position = self._next if self._current is None else self._current
        if position is None or position.pts > target:
            return False
        is_near = self._index.find_frame(target) - self._index.find_frame(position.pts) <= _MAX_FRAMES_AHEAD
        return is_near or self._index.find_seek_time(target) == self._index.find_seek_time(position.pts)

    def _seek(self, target: int) -> None:
        for back in range(_MAX_SEEKS):
            seek_time = self._index.find_seek_time(target, back)
            if seek_time is None or not self._demuxer.seek(seek_time):
                break
            self._start_decoding()
            if self._next is not None and self._next.pts <= target:
                return
        self._restart()

    def _restart(self) -> None:
        self._demuxer.restart()
        self._start_decoding()

    def _start_decoding(self) -> None:
        self._frames = (frame for frame in self._demuxer.frames() if frame.pts is not None)
        self._current: Any = None
        self._next: Any = next(self._frames, None)

    def _advance(self) -> None:
        self._current, self._next = self._next, next(self._frames, None)


class CountingSeeker:
    """Counts the decoder's output, for files with missing, repeated or descending times.

    A frame before the current one is decoded from the start of the file.

    Args:
        demuxer: The file.
        rate: The frames per second that define the times, or None for the times of the frames, which are corrected
            so that they ascend.
    """

    def __init__(self, demuxer: Demuxer, rate: Fraction | None) -> None:
        self._demuxer, self._rate = demuxer, rate
        self._times: array[float] | None = None
        self._current: Any = None
        self._count = 0  # of decoded frames, the last of which is `_current`
        self._restart()

    def times(self) -> array[float]:
        """Return the presentation time of every frame in seconds, nan if the file has no times.

        The first call decodes the complete file.
        """
        if self._times is None:
            self._restart()
            if self._rate is None:
                stated = [nan if frame.time is None else float(frame.time) for frame in self._frames]
                rate = self._demuxer.stream.average_rate or _DEFAULT_FRAME_RATE
                self._times = make_ascending(stated, float(1 / rate))
            else:
                self._times = array("d", [float(index / self._rate) for index, _ in enumerate(self._frames)])
            self._restart()
        return self._times

    def time(self, index: int) -> float:
        """Return the presentation time of frame `index` in seconds, nan if the file has no times.

        Without a rate, the first call decodes the complete file.
        """
        return self.times()[index] if self._rate is None else float(index / self._rate)

    def frame(self, index: int) -> DecodedFrame:
        """Decode frame `index`, from the start of the file if it lies before the current one."""
        if index < self._count - 1:
            self._restart()
        while self._count <= index:
            self._current = next(self._frames, None)
            if self._current is None:
                self._restart()
                raise IndexError(index)
            self._count += 1
        return DecodedFrame(self._current, is_lost=False)

    def _restart(self) -> None:
        self._demuxer.restart()
        self._frames: Iterator[Any] = self._demuxer.frames()
        self._current, self._count = None, 0
