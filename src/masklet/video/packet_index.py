"""Packet index: the presentation times of all frames of a file, read from its packets without decoding."""

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
    """The frames of a stream by presentation time. Times are in units of the stream's time base.

    Attributes:
        frame_times: The times of all frames, ascending.
        key_frame_times: The times of the key frames, which can be decoded without other frames, ascending.
        seek_times: The time to seek to for each key frame.
        is_regular: Whether each frame has a time of its own, so that a time identifies a frame.
        packet_count: The number of packets, with those that show no frame.
        is_damaged: Whether the last packet is incomplete.
        end_time: The time after the last frame.
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

    def drop_before(self, time: int | None) -> None:
        """Remove the frames before that time, which no decoder can show; all frames for None."""
        del self.frame_times[: None if time is None else bisect_left(self.frame_times, time)]

    def find_frame(self, time: int) -> int:
        """Return the index of the first frame at or after that time."""
        return bisect_left(self.frame_times, time)

    def find_seek_time(self, time: int, back: int = 0) -> int | None:
        """Return the time to seek to in order to decode the frame of that time.

        Args:
            time: The time of the frame.
            back: The number of key frames to skip before the last one at or before `time`.

        Returns:
            The seek time of the key frame, or None if there are not enough key frames.
        """
        index = bisect_right(self.key_frame_times, time) - 1 - back
        return self.seek_times[index] if index >= 0 else None


def index_packets(packets: Iterable[Any], is_shown: Callable[[Any], bool]) -> PacketIndex:
    """Index the packets of a stream.

    Args:
        packets: The packets in the order of the file.
        is_shown: Whether a packet results in a frame.

    Raises:
        VideoError: `unsupported-format`. There are more than ten million packets.
    """
    times, key_frames = array("q"), []
    count, end_time, is_damaged, is_regular, last = 0, 0, False, True, None
    for packet in packets:
        count += 1
        if count > _MAX_PACKETS:
            raise VideoError("unsupported-format", f"the video has more than {_MAX_PACKETS} packets; cut it into parts")
        is_damaged = packet.is_corrupt
        if not is_shown(packet):
            continue
        time, decoding_time = packet.pts, packet.dts
        if time is None or (None not in (decoding_time, last) and decoding_time <= last):
            is_regular = False
            continue
        last = last if decoding_time is None else decoding_time
        times.append(time)
        end_time = max(end_time, time + (packet.duration or 0))
        if packet.is_keyframe:
            key_frames.append((time, time if decoding_time is None else decoding_time))
    times, key_frames = array("q", sorted(times)), sorted(key_frames)
    is_regular = is_regular and all(before < after for before, after in pairwise(times))
    key_times = array("q", [time for time, _ in key_frames])
    seek_times = array("q", [seek_time for _, seek_time in key_frames])
    return PacketIndex(times, key_times, seek_times, is_regular, count, is_damaged, end_time)
