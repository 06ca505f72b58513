"""The one video stream of a file that is meant: its packets and frames in order, whatever is broken in between."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av

from masklet.errors import VideoError
from masklet.files.open_input import open_input
from masklet.video.containers import FFMPEG_DEMUXERS, VIDEO_KINDS, check_content, is_truncated
from masklet.video.options import VideoOptions

_BUFFER = 1 << 18  # bytes per read
_THREADS = 8  # more of them hold more frames in memory and are not faster
FFMPEG_ERRORS = (av.FFmpegError, OSError, ValueError, EOFError, MemoryError)


class Demuxer:
    """`alive` is called with every packet and every frame. Raises `InputNotFound` and `VideoError` when built."""

    def __init__(self, path: Path, options: VideoOptions, alive: Callable[[], None]) -> None:
        self.name, self._options, self._alive = str(path), options, alive
        self.container: Any = None  # while it is open
        self.stream: Any = None
        self._handle = open_input(path)
        try:
            self.kind = check_content(self._handle, self.name)
            self.is_truncated = self.kind in VIDEO_KINDS and is_truncated(self._handle, self.kind)
            self._open()
        except VideoError:
            self.close()
            raise

    def packets(self) -> Iterator[Any]:
        """The packets from here on, until the end or until the reader gives up."""
        container, packets = self.container, self.container.demux(self.stream)
        while container is self.container:  # reading on in a closed one would crash
            try:
                packet = next(packets)
            except (StopIteration, *FFMPEG_ERRORS):
                return
            self._alive()
            if packet.size:
                yield packet

    def frames(self) -> Iterator[Any]:
        """The frames from here on. What cannot be decoded is left out."""
        container = self.container
        for packet in self.packets():
            yield from self._decoded(packet)
        if container is self.container:
            yield from self._decoded(None)

    def is_shown(self, packet: Any) -> bool:
        """Whether a packet ends in a picture: an edit list can hide it, and VP8 has invisible ones."""
        hidden = self.stream.codec_context.name in {"vp8", "libvpx"} and not bytes(packet)[0] >> 4 & 1
        return not (packet.is_discard or hidden)

    def seek(self, time: int) -> bool:
        """Go on at the key frame before that time, or near it. False if the file does not let us."""
        try:
            self.container.seek(time, stream=self.stream, backward=True)
        except FFMPEG_ERRORS:
            return False
        return True

    def restart(self) -> None:
        """Go on at the first frame."""
        self.container.close()
        self._open()

    def close(self) -> None:
        """Let go of the file; what is still reading ends."""
        if self.container is not None:
            self.container.close()
        self.container = None
        self._handle.close()

    def _decoded(self, packet: Any) -> Iterator[Any]:
        try:
            frames = self.stream.codec_context.decode(packet)
        except FFMPEG_ERRORS:
            return
        for frame in frames:
            self._alive()
            yield frame

    def _open(self) -> None:
        # A copy, since a closed container may close what it was given; unbuffered, since FFmpeg has its own buffer.
        handle = os.fdopen(os.dup(self._handle.fileno()), "rb", buffering=0)
        handle.seek(0)
        limits = {"max_pixels": str(self._options.max_pixels)}
        rules = {"format_whitelist": FFMPEG_DEMUXERS, "protocol_whitelist": "file"}
        try:
            self.container = av.open(
                handle, "r", options={**rules, **limits}, buffer_size=_BUFFER, io_open=_refuse_to_open
            )
        except FFMPEG_ERRORS as cause:
            raise self._refusal(cause) from cause
        self.stream = self._chosen()
        context = self.stream.codec_context
        context.options = limits
        context.thread_type = "AUTO"
        context.thread_count = min(_THREADS, os.cpu_count() or 1)

    def _chosen(self) -> Any:
        """The stream that a player would show."""
        hidden = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
        streams = [stream for stream in self.container.streams.video if not stream.disposition & hidden]
        if not streams:
            kinds = sorted({stream.type for stream in self.container.streams})
            only = "only " + ", ".join({"video": "cover art"}.get(kind, kind) for kind in kinds) if kinds else "nothing"
            raise VideoError("no-video-stream", f"{self.name} has no video in it, {only}", path=self.name)
        preferred = [stream for stream in streams if stream.disposition & av.stream.Disposition.default]
        stream = (preferred or streams)[0]
        context: Any = stream.codec_context
        if context is None and self.is_truncated:
            raise self._refusal(EOFError("the description of its codec is missing"))
        if context is None:
            message = f"{self.name}: this build of FFmpeg has no decoder for its video"
            raise VideoError("codec-unavailable", message, path=self.name)
        if context.width * context.height > self._options.max_pixels:
            message = (
                f"{self.name} has frames of {context.width} × {context.height} pixels, "
                f"more than max_pixels={self._options.max_pixels}"
            )
            raise VideoError("too-many-pixels", message, path=self.name)
        return stream

    def _refusal(self, cause: BaseException) -> VideoError:
        if self.kind not in VIDEO_KINDS:
            message = (
                f"{self.name} is {self.kind}; videos are read from MP4, MOV, MKV, WebM, AVI, MPEG, TS, FLV, ASF and Ogg"
            )
            return VideoError("unsupported-format", message, path=self.name, kind=self.kind)
        reason = "it is cut off before its index" if self.is_truncated else f"it is broken ({_reason(cause)})"
        message = f"{self.name} is {self.kind} of which nothing can be decoded: {reason}"
        return VideoError("video-no-frames", message, path=self.name)


def _refuse_to_open(*_: Any) -> BinaryIO:
    """A video that asks for another file gets none."""
    raise PermissionError("a video may not open other files")


def _reason(cause: BaseException) -> str:
    return getattr(cause, "strerror", None) or type(cause).__name__
