"""Which of the frames that come out of a decoder is number `index`? Told by its time, or by counting."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from fractions import Fraction
from math import nan
from typing import Any, NamedTuple, Protocol

from masklet.video.demuxer import Demuxer
from masklet.video.packet_index import PacketIndex

_SEEKS = 4  # key frames to go back to before starting over
_NEAR = 16  # frames ahead that are decoded through rather than sought


class DecodedFrame(NamedTuple):
    """A decoded frame; `lost` where the right one could not be decoded and this is the one before it."""

    frame: Any
    time: float
    is_lost: bool


class FrameSeeker(Protocol):
    """`IndexError` marks the end. Times are in seconds, nan where there is none."""

    def frame(self, index: int) -> DecodedFrame: ...

    def times(self) -> array[float]: ...


class TimeSeeker:
    """For files where each frame has a time of its own: a frame that cannot be decoded keeps its number."""

    def __init__(self, stream: Demuxer, table: PacketIndex) -> None:
        self._stream, self._table, self._unit = stream, table, float(stream.stream.time_base)
        self._restart()
        table.drop_before(None if self._next is None else self._next.pts)

    def times(self) -> array[float]:
        """The time of every frame in seconds."""
        return array("d", [shown * self._unit for shown in self._table.frame_times])

    def frame(self, index: int) -> DecodedFrame:
        """Frame `index`, decoded from the nearest key frame before it or from where the last request ended."""
        wanted = self._table.frame_times[index]
        if self._passed is None or self._passed.pts != wanted:
            if not self._ahead(wanted):
                self._seek(wanted)
            while self._next is not None and self._next.pts <= wanted:
                self._step()
        assert self._passed is not None, "a seek ends at or before what is wanted"
        return DecodedFrame(self._passed, wanted * self._unit, self._passed.pts != wanted)

    def _ahead(self, wanted: int) -> bool:
        """Whether `wanted` comes next, or so soon that decoding on is the quickest way to it."""
        here = self._next if self._passed is None else self._passed
        if here is None or here.pts > wanted:
            return False
        near = self._table.find_frame(wanted) - self._table.find_frame(here.pts) <= _NEAR
        return near or self._table.find_seek_time(wanted) == self._table.find_seek_time(here.pts)

    def _seek(self, wanted: int) -> None:
        for back in range(_SEEKS):
            place = self._table.find_seek_time(wanted, back)
            if place is None or not self._stream.seek(place):
                break
            self._begin()
            if self._next is not None and self._next.pts <= wanted:
                return
        self._restart()

    def _restart(self) -> None:
        self._stream.restart()
        self._begin()

    def _begin(self) -> None:
        self._frames = (frame for frame in self._stream.frames() if frame.pts is not None)
        self._passed: Any = None
        self._next: Any = next(self._frames, None)

    def _step(self) -> None:
        self._passed, self._next = self._next, next(self._frames, None)


class CountingSeeker:
    """For files whose times are missing, repeat or go back: frames count as they come out of the decoder.

    Going back means decoding from the start. `rate` gives times where the container has none.
    """

    def __init__(self, stream: Demuxer, rate: Fraction | None) -> None:
        self._stream, self._rate = stream, rate
        self._times: array[float] | None = None
        self._passed: Any = None
        self._count = 0  # of the frames taken; `_passed` is the last of them
        self._restart()

    def times(self) -> array[float]:
        """The time of every frame in seconds, nan where there is none. Decodes the whole file, once."""
        if self._times is None:
            self._restart()
            self._times = array("d", [self._time(frame, place) for place, frame in enumerate(self._frames)])
            self._restart()
        return self._times

    def frame(self, index: int) -> DecodedFrame:
        """Frame `index`, decoded from the start where it lies behind."""
        if index < self._count - 1:
            self._restart()
        while self._count <= index:
            self._passed = next(self._frames, None)
            if self._passed is None:
                self._restart()
                raise IndexError(index)
            self._count += 1
        return DecodedFrame(self._passed, self._time(self._passed, index), is_lost=False)

    def _restart(self) -> None:
        self._stream.restart()
        self._frames: Iterator[Any] = self._stream.frames()
        self._passed, self._count = None, 0

    def _time(self, frame: Any, index: int) -> float:
        if self._rate is not None:
            return float(index / self._rate)
        return nan if frame.time is None else float(frame.time)
