"""Packet clock: times of packets that rise where two recordings are joined in one file."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

_MAX_STEP_BACK = Fraction(1, 10)  # seconds; FFmpeg's limit


class PacketClock:
    """Corrects the times of a file's packets as FFmpeg does: where a stream goes back, all streams are shifted.

    Without a correction, joined recordings would all start at the same time.
    """

    def __init__(self) -> None:
        self._shift = Fraction(0)
        self._ends: dict[int, Fraction] = {}  # of each stream's last packet

    def correct(self, packet: Any) -> Fraction:
        """Correct the times of the next packet of the file.

        Args:
            packet: PyAV's packet, which is changed. Its times may be missing.

        Returns:
            Its presentation time in seconds.
        """
        index, unit = packet.stream.index, Fraction(packet.time_base)
        end, is_timed = self._ends.get(index), packet.dts is not None
        if not is_timed:  # the first images of a video whose images are reordered
            packet.dts = packet.pts if packet.pts is not None else round(((end or 0) - self._shift) / unit)
        if packet.pts is None:
            packet.pts = packet.dts
        time = packet.dts * unit + self._shift
        if is_timed and end is not None and time < end - _MAX_STEP_BACK:
            self._shift += end - time
            time = end
        if is_timed:
            self._ends[index] = time + _duration(packet)
        ticks = round(self._shift / unit)
        packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
        return Fraction(packet.pts * unit)


def _duration(packet: Any) -> Fraction:
    if packet.duration:
        return Fraction(packet.duration * packet.time_base)
    rate = getattr(packet.stream, "average_rate", None)
    return 1 / Fraction(rate) if rate else Fraction(0)
