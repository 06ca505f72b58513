"""Audio extraction: the audio of a part of a video, as an MP4 file without images.

Each audio stream is copied packet by packet if MP4 supports its codec, else it is encoded as AAC. A fault of the audio
is reported and never raised: the packets or streams that it concerns are left out.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import av
from av.filter import Graph

from masklet.errors import MaskletError
from masklet.files.open_input import open_input
from masklet.formats.packet_clock import PacketClock
from masklet.video.child_setup import set_up_child
from masklet.video.containers import FFMPEG_DEMUXERS, check_content

Report = Callable[[str, str], None]
"""Called with the code and the text of a message, or with two empty texts as a heartbeat."""

_CONTAINER = "mp4"
_AAC_FRAME = 1024  # samples
_AAC_BITS_PER_SECOND = 192_000
_DEFAULT_RATE = 44_100  # samples per second, for a stream that states none
_MAX_LEAD = Fraction(1, 10)  # seconds before the first frame of a video that its audio may start
_HEARTBEAT_INTERVAL_S = 0.5
_ERRORS = (av.FFmpegError, OSError, ValueError, EOFError, ArithmeticError, MemoryError, RuntimeError, LookupError)


def extract_audio(source: Path, target: Path, start: float, stop: float, report: Report) -> None:
    """Write the audio of a video from `start` to `stop` seconds to an MP4 file whose time 0 is `start`.

    Args:
        source: The video.
        target: The file to write. There is none if the video has no audio in this part.
        start: Time of the first frame in seconds. At 0 or below, audio that starts slightly before it is kept.
        stop: Time in seconds.
        report: Called with messages and heartbeats.
    """
    try:
        with open_input(source) as handle:
            check_content(handle, str(source))
            with _open(handle) as container:
                converters = _choose_converters(container, report)
            if converters:
                with _open(handle) as container:
                    part = (Fraction(start), Fraction(stop))
                    _Extraction(container, converters, part, report).write(target)
    except (MaskletError, *_ERRORS) as error:
        target.unlink(missing_ok=True)
        report("audio-missing", f"the audio is left out, since it cannot be read: {_describe(error)}")


def serve(source: str, target: str, start: str, stop: str, max_pixels: str) -> None:
    """Extract audio for the process at the other end of standard output. A line of JSON is a message."""
    output = set_up_child(int(max_pixels))

    def report(code: str, text: str) -> None:
        output.write(json.dumps([code, text]).encode() + b"\n")

    extract_audio(Path(source), Path(target), float(start), float(stop), report)
    report("end", "")


class _Extraction:
    """Writes the audio of an open container.

    Args:
        container: The container, at its start.
        converters: The converter of each audio stream that is written, by the index of the stream.
        part: Start and stop in seconds.
        report: Called with messages and heartbeats.
    """

    def __init__(
        self, container: Any, converters: dict[int, type[_Converter]], part: tuple[Fraction, Fraction], report: Report
    ) -> None:
        self._container, self._converters, self._report = container, converters, report
        self._start, self._stop = part
        end = float(self._stop - self._start)
        self._limits = f"end={end}" if self._start <= 0 else f"start=0:end={end}"
        self._damaged = dict.fromkeys(converters, 0)
        self._last: dict[int, int] = {}  # decoding time of each stream's last packet
        self._heartbeat = time.monotonic()

    def write(self, target: Path) -> None:
        """Write the file, and report what was left out."""
        with av.open(str(target), "w", format=_CONTAINER, options={"fflags": "+bitexact"}) as output:
            tracks = {}
            for index, kind in self._converters.items():
                try:
                    tracks[index] = kind(self._container.streams[index], output, self._limits)
                except _ERRORS as error:
                    self._leave_out(index, _describe(error))
            for packet in self._packets(set(tracks)):
                self._convert(output, tracks, packet)
            for index, track in tracks.items():
                self._mux_all(output, index, track.flush())
        for index, count in self._damaged.items():
            if index in tracks and index not in self._last and count:
                self._leave_out(index, "all of its packets are damaged")
            elif count:
                message = f"{count} damaged packets of {_name(self._container, index)} are left out"
                self._report("audio-damaged", message)
        if not self._last:
            target.unlink(missing_ok=True)

    def _packets(self, pending: set[int]) -> Iterator[Any]:
        """Iterate over the packets of the part, with times that rise; `pending` are the streams to read."""
        start = self._start - (_MAX_LEAD if self._start <= 0 else 0)
        clock, written = PacketClock(), set(pending)
        images = self._container.streams.best("video")
        streams = [stream for stream in self._container.streams if stream.index in pending or stream is images]
        packets = _demux(self._container, streams)
        while pending:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except _ERRORS as error:
                self._report("audio-damaged", f"the audio after a damaged place is left out: {_describe(error)}")
                return
            self._report_alive()
            begin = clock.correct(packet)
            if packet.stream.index not in written:
                continue
            if begin >= self._stop:
                pending.discard(packet.stream.index)
            elif begin >= start - self._converters[packet.stream.index].preroll:
                shift = round(self._start / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                yield packet

    def _convert(self, output: Any, tracks: dict[int, _Converter], packet: Any) -> None:
        index = packet.stream.index
        if packet.is_corrupt:
            self._damaged[index] += 1
        else:
            self._mux_all(output, index, tracks[index].convert(packet))

    def _mux_all(self, output: Any, index: int, packets: Iterator[Any]) -> None:
        try:
            for packet in packets:
                self._mux(output, index, packet)
        except OSError as error:
            if isinstance(error, av.FFmpegError | ValueError):  # of the decoder or the encoder
                self._damaged[index] += 1
            else:
                raise
        except _ERRORS:
            self._damaged[index] += 1

    def _mux(self, output: Any, index: int, packet: Any) -> None:
        """Write a packet, one sample after the last one if its time is not later."""
        rate = packet.stream.codec_context.sample_rate or _DEFAULT_RATE
        last = self._last.get(index)
        if last is not None and packet.dts <= last:
            packet.dts = last + max(1, ceil(1 / (rate * packet.time_base)))
        packet.pts = max(packet.pts, packet.dts)
        written = packet.dts
        output.mux(packet)
        self._last[index] = written

    def _leave_out(self, index: int, reason: str) -> None:
        self._report("audio-missing", f"{_name(self._container, index)} is left out: {reason}")

    def _report_alive(self) -> None:
        now = time.monotonic()
        if now - self._heartbeat > _HEARTBEAT_INTERVAL_S:
            self._heartbeat = now
            self._report("", "")


class _PacketCopier:
    """Copies packets unchanged."""

    preroll = 0

    def __init__(self, stream: Any, output: Any, limits: str) -> None:
        self._stream = output.add_stream_from_template(stream)

    def convert(self, packet: Any) -> Iterator[Any]:
        packet.stream = self._stream
        yield packet

    def flush(self) -> Iterator[Any]:
        return iter(())


class _AacEncoder:
    """Decodes packets and encodes them as AAC, mono or stereo, at a rate that AAC has. Gaps become silence.

    Args:
        stream: The stream.
        output: The container to write.
        limits: Options of FFmpeg's `atrim`, by which the samples are cut.
    """

    preroll = 2  # seconds before the start that are decoded too; a packet can be long

    def __init__(self, stream: Any, output: Any, limits: str) -> None:
        context = stream.codec_context
        self._layout = "mono" if context.channels == 1 else "stereo"
        self._rate = _choose_rate(context.sample_rate or _DEFAULT_RATE)
        self._stream = output.add_stream("aac", rate=self._rate, layout=self._layout)
        self._stream.bit_rate = _AAC_BITS_PER_SECOND
        self._limits = limits
        self._graph: Any = None
        self._input: Any = None

    def convert(self, packet: Any) -> Iterator[Any]:
        for frame in packet.decode():
            kind = (frame.format.name, frame.layout.name, frame.sample_rate, frame.time_base)
            if kind != self._input:
                yield from self._finish_graph()
                self._graph, self._input = self._make_graph(*kind), kind
            with contextlib.suppress(av.EOFError):  # after the end of the part
                self._graph.push(frame)
            yield from self._encode()

    def flush(self) -> Iterator[Any]:
        yield from self._finish_graph()
        yield from self._stream.encode(None)

    def _finish_graph(self) -> Iterator[Any]:
        if self._graph is not None:
            with contextlib.suppress(av.EOFError):
                self._graph.push(None)
            yield from self._encode()
        self._graph = None

    def _encode(self) -> Iterator[Any]:
        while True:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            yield from self._stream.encode(frame)

    def _make_graph(self, sample_format: str, layout: str, rate: int, time_base: Fraction) -> Graph:
        graph = Graph()
        chain = [
            graph.add_abuffer(sample_rate=rate, format=sample_format, layout=layout, time_base=time_base),
            graph.add("aresample", f"{self._rate}:async=1"),
            graph.add("aformat", f"sample_fmts=fltp:sample_rates={self._rate}:channel_layouts={self._layout}"),
            graph.add("atrim", self._limits),
            graph.add("asetnsamples", f"n={_AAC_FRAME}:p=0"),
            graph.add("abuffersink"),
        ]
        graph.link_nodes(*chain).configure()
        return graph


_Converter = _PacketCopier | _AacEncoder


def _open(handle: Any) -> Any:
    handle.seek(0)
    options = {"format_whitelist": FFMPEG_DEMUXERS, "protocol_whitelist": "file"}
    return av.open(handle, options=options, io_open=_refuse)


def _refuse(*_: Any) -> Any:
    raise PermissionError("a video file must not open other files")


def _choose_converters(container: Any, report: Report) -> dict[int, type[_Converter]]:
    """Choose how each audio stream is converted, from its first packet. Streams without packets are left out."""
    streams = list(container.streams.audio)
    first: dict[int, Any] = {}
    with contextlib.suppress(*_ERRORS):  # the packets before damage are used
        for packet in _demux(container, streams):
            first.setdefault(packet.stream.index, packet)
            if len(first) == len(streams):
                break
    converters: dict[int, type[_Converter]] = {}
    for stream in streams:
        if stream.index not in first:
            continue
        if _can_copy(stream, first[stream.index]):
            converters[stream.index] = _PacketCopier
        elif stream.codec_context is not None:
            converters[stream.index] = _AacEncoder
        else:
            message = "is left out: this build of FFmpeg has no decoder for it"
            report("audio-missing", f"{_name(container, stream.index)} {message}")
    return converters


def _demux(container: Any, streams: list[Any]) -> Iterator[Any]:
    """Iterate over the packets of streams, without empty ones."""
    return (packet for packet in container.demux(*streams) if packet.size) if streams else iter(())


def _can_copy(stream: Any, packet: Any) -> bool:
    """Return whether MP4 supports the codec of a stream, by writing a packet to it."""
    try:
        with av.open(io.BytesIO(), "w", format=_CONTAINER) as trial:
            packet.stream = trial.add_stream_from_template(stream)
            packet.pts = packet.dts = 0
            trial.mux(packet)
    except (*_ERRORS, AttributeError, TypeError):  # a stream without a codec
        return False
    return True


def _choose_rate(rate: int) -> int:
    """Return the lowest sample rate of AAC that is at least `rate`, or the highest one."""
    rates = sorted(av.Codec("aac", "w").audio_rates or [_DEFAULT_RATE])
    return next((possible for possible in rates if possible >= rate), rates[-1])


def _name(container: Any, index: int) -> str:
    number = [stream.index for stream in container.streams.audio].index(index) + 1
    return f"audio stream {number}"


def _describe(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
