"""Demuxer: the packets and decoded frames of the main video stream of a file, with broken parts left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av

from masklet.errors import VideoError
from masklet.files.open_input import open_input
from masklet.video.containers import FFMPEG_DEMUXERS, VIDEO_TYPES, check_content, is_truncated
from masklet.video.options import VideoOptions

FFMPEG_ERRORS = (av.FFmpegError, OSError, ValueError, EOFError, MemoryError)
"""The exceptions that PyAV raises for broken files."""

_BUFFER_BYTES = 1 << 18
_MAX_THREADS = 8  # more keep more frames in memory and are not faster


class Demuxer:
    """The main video stream of a file.

    Args:
        path: The file.
        options: Limits of the decoder.
        report_alive: Called with every packet and every frame.

    Attributes:
        name: The path, for messages.
        handle: The opened file, whose position has no meaning.
        file_type: The type of the file, as `detect_file_type` names it.
        is_truncated: Whether the file ends before the position that its structure states.
        container: PyAV's container while it is open, else None.
        stream: PyAV's stream.

    Raises:
        InputNotFound: The file is missing, empty or unreadable.
        VideoError: The file is no video that can be decoded.
    """

    def __init__(self, path: Path, options: VideoOptions, report_alive: Callable[[], None]) -> None:
        self.name, self._options, self._report_alive = str(path), options, report_alive
        self.container: Any = None
        self.stream: Any = None
        self.handle = open_input(path)
        try:
            self.file_type = check_content(self.handle, self.name)
            self.is_truncated = self.file_type in VIDEO_TYPES and is_truncated(self.handle, self.file_type)
            self._open()
        except VideoError:
            self.close()
            raise

    def packets(self) -> Iterator[Any]:
        """Iterate over the packets from the current position to the end or to the first that cannot be read."""
        container, packets = self.container, self.container.demux(self.stream)
        while container is self.container:  # reading from a closed container would crash
            try:
                packet = next(packets)
            except (StopIteration, *FFMPEG_ERRORS):
                return
            self._report_alive()
            if packet.size:
                yield packet

    def frames(self) -> Iterator[Any]:
        """Iterate over the decoded frames from the current position, without those that cannot be decoded."""
        container = self.container
        for packet in self.packets():
            yield from self._decode(packet)
        if container is self.container:
            yield from self._decode(None)

    def is_shown(self, packet: Any) -> bool:
        """Return whether a packet results in a frame. An edit list can hide it, and VP8 has invisible frames."""
        is_invisible = self.stream.codec_context.name in {"vp8", "libvpx"} and not bytes(packet)[0] >> 4 & 1
        return not (packet.is_discard or is_invisible)

    def seek(self, time: int) -> bool:
        """Continue at the last key frame before that time. Returns False if the file does not allow it."""
        try:
            self.container.seek(time, stream=self.stream, backward=True)
        except FFMPEG_ERRORS:
            return False
        return True

    def restart(self) -> None:
        """Continue at the first frame."""
        self.container.close()
        self._open()

    def check_frame_size(self) -> None:
        """Raise `VideoError` (`too-many-pixels`) if the decoder states a size beyond the limit.

        Codecs such as MJPEG state it in their frames, which the limit keeps FFmpeg from decoding.
        """
        self.container.close()
        self._open(limits={})

    def close(self) -> None:
        """Close the file. Iteration ends."""
        if self.container is not None:
            self.container.close()
        self.container = None
        self.handle.close()

    def _decode(self, packet: Any) -> Iterator[Any]:
        try:
            frames = self.stream.codec_context.decode(packet)
        except FFMPEG_ERRORS:
            return
        for frame in frames:
            self._report_alive()
            yield frame

    def _open(self, limits: dict[str, str] | None = None) -> None:
        # A duplicate, since a closed container may close its file; unbuffered, since FFmpeg has its own buffer.
        handle = os.fdopen(os.dup(self.handle.fileno()), "rb", buffering=0)
        handle.seek(0)
        limits = {"max_pixels": str(self._options.max_pixels)} if limits is None else limits
        options = {"format_whitelist": FFMPEG_DEMUXERS, "protocol_whitelist": "file", **limits}
        try:
            self.container = av.open(handle, "r", options=options, buffer_size=_BUFFER_BYTES, io_open=_refuse_to_open)
        except FFMPEG_ERRORS as cause:
            raise self._make_error(cause) from cause
        self.stream = self._choose_stream()
        context = self.stream.codec_context
        context.options = limits
        context.thread_type = "AUTO"
        context.thread_count = min(_MAX_THREADS, os.cpu_count() or 1)

    def _choose_stream(self) -> Any:
        """Choose the stream that a player would show."""
        stills = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
        streams = [stream for stream in self.container.streams.video if not stream.disposition & stills]
        if not streams:
            kinds = sorted({stream.type for stream in self.container.streams})
            if self.is_truncated and {"audio", "video"}.isdisjoint(kinds):
                raise self._make_error(EOFError("the description of its streams is incomplete"))
            content = "only " + ", ".join({"video": "cover art"}.get(kind, kind) for kind in kinds) if kinds else "none"
            message = f"{self.name} has no video stream ({content}); pass a video file"
            raise VideoError("no-video-stream", message, path=self.name)
        default = [stream for stream in streams if stream.disposition & av.stream.Disposition.default]
        stream = (default or streams)[0]
        context: Any = stream.codec_context
        if context is None and self.is_truncated:
            raise self._make_error(EOFError("the description of its codec is missing"))
        if context is None:
            message = f"{self.name}: this build of FFmpeg has no decoder for its video; convert it to H.264"
            raise VideoError("codec-unavailable", message, path=self.name)
        if stream.frames > os.fstat(self.handle.fileno()).st_size:
            message = f"{self.name} states {stream.frames} frames, more than it has bytes; copy it again"
            raise VideoError("video-no-frames", message, path=self.name)
        if context.width * context.height > self._options.max_pixels:
            size = f"{context.width} × {context.height} pixels"
            message = (
                f"{self.name} has frames of {size}, more than max_pixels={self._options.max_pixels}; make it smaller"
            )
            raise VideoError("too-many-pixels", message, path=self.name)
        return stream

    def _make_error(self, cause: BaseException) -> VideoError:
        if self.file_type not in VIDEO_TYPES:
            formats = "MP4, MOV, MKV, WebM, AVI, MPEG, TS, FLV, ASF and Ogg"
            message = f"{self.name} is {self.file_type}; supported video formats are {formats}"
            return VideoError("unsupported-format", message, path=self.name, kind=self.file_type)
        reason = "it is cut off before its index" if self.is_truncated else f"it is broken ({_describe(cause)})"
        message = f"{self.name} is {self.file_type} without a decodable frame: {reason}"
        return VideoError("video-no-frames", message, path=self.name)


def _refuse_to_open(*_: Any) -> BinaryIO:
    """Refuse to open another file that a video names."""
    raise PermissionError("a video cannot open other files")


def _describe(cause: BaseException) -> str:
    return getattr(cause, "strerror", None) or type(cause).__name__
