"""Audio of a video: copied packet by packet, or encoded as AAC if the target does not support the codec."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

_AAC = "aac"
_BITS_PER_SECOND = 192_000


class AudioCopier:
    """Copies the audio streams of the open `source` between `start` and `stop` seconds to the open `target`.

    Time 0 of the target is `start`. Create it before anything is written to the target. If `source` is None, no audio
    is written.
    """

    def __init__(self, source: Any, target: Any, start: float, stop: float) -> None:
        self._target, self._start, self._stop = target, start, stop
        self._tracks = {stream.index: _track(stream, target) for stream in _streams(source)}
        self._packets = self._convert_all(source)
        self._next = next(self._packets, None)

    def write_until(self, time: float) -> None:
        """Write the audio before `time` seconds of the target."""
        while self._next is not None and self._next.pts * self._next.time_base < time:
            self._target.mux(self._next)
            self._next = next(self._packets, None)

    def _convert_all(self, source: Any) -> Iterator[Any]:
        if not self._tracks:
            return
        for packet in source.demux(*_streams(source)):
            if packet.dts is None:
                continue
            time = packet.pts * packet.time_base
            if time >= self._stop:
                break
            if time >= self._start or not self._start:  # audio may start slightly before the first frame
                yield from self._tracks[packet.stream.index].convert(packet, self._start)
        for track in self._tracks.values():
            yield from track.flush()


class _PacketCopier:
    """Copies packets unchanged."""

    def __init__(self, stream: Any, target: Any) -> None:
        self._stream = target.add_stream_from_template(stream)

    def convert(self, packet: Any, start: float) -> Iterator[Any]:
        shift = round(Fraction(start) / packet.time_base)
        packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, self._stream
        yield packet

    def flush(self) -> Iterator[Any]:
        return iter(())


class _AacEncoder:
    """Decodes packets and encodes them as AAC."""

    def __init__(self, stream: Any, target: Any) -> None:
        self._stream = target.add_stream(_AAC, rate=stream.rate, layout="mono" if stream.channels == 1 else "stereo")
        self._stream.bit_rate = _BITS_PER_SECOND
        self._resampler = av.AudioResampler("fltp", self._stream.layout, stream.rate, self._stream.frame_size or None)

    def convert(self, packet: Any, start: float) -> Iterator[Any]:
        for frame in packet.decode():
            frame.pts -= round(Fraction(start) / frame.time_base)
            for resampled in self._resampler.resample(frame):
                yield from self._stream.encode(resampled)

    def flush(self) -> Iterator[Any]:
        for resampled in self._resampler.resample(None):
            yield from self._stream.encode(resampled)
        yield from self._stream.encode(None)


def _streams(source: Any) -> list[Any]:
    return [] if source is None else [*source.streams.audio]


def _track(stream: Any, target: Any) -> _PacketCopier | _AacEncoder:
    return (_PacketCopier if _can_copy(stream, target.format.name) else _AacEncoder)(stream, target)


def _can_copy(stream: Any, container: str) -> bool:
    """Return whether the container supports the stream's codec, by writing a packet to it."""
    source = stream.container
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            packet = next(source.demux(stream))
            packet.stream = trial.add_stream_from_template(stream)
            trial.mux(packet)
    except (av.FFmpegError, ValueError):
        return False
    finally:
        source.seek(0)
    return True
