"""Which frames does a file have, and when are they shown? Answered from its packets, without decoding any."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from masklet.errors import VideoError

_MAX_PACKETS = 10_000_000  # two days at 60 per second; a small file can claim any number


@dataclass(frozen=True, slots=True)
class PacketIndex:
    """Times are in units of the stream's time base.

    `shown` are the times of all frames, ascending; `keys` those of the frames that can be decoded without others, and
    `seeks` where to seek for each of these. `regular` says that each frame has a time of its own, so that a time names
    a frame. `packets` counts all packets, shown or not; `damaged` says that the last one is incomplete. `end` is the
    time after the last frame.
    """

    frame_times: array[int]
    key_frame_times: array[int]
    seek_times: array[int]
    is_regular: bool
    packet_count: int
    is_damaged: bool
    end_time: int

    def __len__(self) -> int:
        return len(self.frame_times)

    def drop_before(self, shown: int | None) -> None:
        """Forget the frames before that time, or all: no decoder can show them."""
        del self.frame_times[: None if shown is None else bisect_left(self.frame_times, shown)]

    def find_frame(self, shown: int) -> int:
        """The index of the frame shown at that time, or of the next one after it."""
        return bisect_left(self.frame_times, shown)

    def find_seek_time(self, shown: int, back: int = 0) -> int | None:
        """Where to seek so as to show that time: to the last key frame before it, or the one `back` earlier."""
        found = bisect_right(self.key_frame_times, shown) - 1 - back
        return self.seek_times[found] if found >= 0 else None


def index_packets(packets: Iterable[Any], shows: Callable[[Any], bool]) -> PacketIndex:
    """The table of a stream's packets. `shows` tells the packets that end in a picture from those that do not."""
    shown, keys = array("q"), []
    count, end, damaged, regular, last = 0, 0, False, True, None
    for packet in packets:
        count += 1
        if count > _MAX_PACKETS:
            raise VideoError("unsupported-format", f"the video claims more than {_MAX_PACKETS} frames")
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
    return PacketIndex(shown, starts, seeks, regular, count, damaged, end)
