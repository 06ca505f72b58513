"""Which frames does a file have, and when are they shown? Answered from its packets, without decoding any."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from masklet.errors import VideoError

MOST_PACKETS = 10_000_000  # two days at 60 per second; a small file can claim any number


@dataclass(frozen=True, slots=True)
class FrameTable:
    """Times are in units of the stream's time base.

    `shown` are the times of all frames, ascending; `keys` those of the frames that can be decoded without others, and
    `seeks` where to seek for each of these. `regular` says that each frame has a time of its own, so that a time names
    a frame. `packets` counts all packets, shown or not; `damaged` says that the last one is incomplete. `end` is the
    time after the last frame.
    """

    shown: array[int]
    keys: array[int]
    seeks: array[int]
    regular: bool
    packets: int
    damaged: bool
    end: int

    def __len__(self) -> int:
        return len(self.shown)

    def start_at(self, shown: int | None) -> None:
        """Forget the frames before that time, or all: no decoder can show them."""
        del self.shown[: None if shown is None else bisect_left(self.shown, shown)]

    def place(self, shown: int) -> int:
        """The index of the frame shown at that time, or of the next one after it."""
        return bisect_left(self.shown, shown)

    def seek_for(self, shown: int, back: int = 0) -> int | None:
        """Where to seek so as to show that time: to the last key frame before it, or the one `back` earlier."""
        found = bisect_right(self.keys, shown) - 1 - back
        return self.seeks[found] if found >= 0 else None


def read_table(packets: Iterable[Any], shows: Callable[[Any], bool]) -> FrameTable:
    """The table of a stream's packets. `shows` tells the packets that end in a picture from those that do not."""
    shown, keys = array("q"), []
    count, end, damaged, regular, last = 0, 0, False, True, None
    for packet in packets:
        count += 1
        if count > MOST_PACKETS:
            raise VideoError("unsupported-format", f"the video claims more than {MOST_PACKETS} frames")
        damaged = packet.is_corrupt
        if not shows(packet):
            continue
        time, decoded = packet.pts, packet.dts
        if time is None or (None not in (decoded, last) and decoded <= last):
            regular = False
            continue
        last = last if decoded is None else decoded
        shown.append(time)
        end = max(end, time + (packet.duration or 0))
        if packet.is_keyframe:
            keys.append((time, time if decoded is None else decoded))
    shown, keys = array("q", sorted(shown)), sorted(keys)
    regular = regular and all(before < after for before, after in pairwise(shown))
    starts, seeks = array("q", [key for key, _ in keys]), array("q", [seek for _, seek in keys])
    return FrameTable(shown, starts, seeks, regular, count, damaged, end)
