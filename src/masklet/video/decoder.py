"""Decodes one video file: any frame by its exact number, in memory that does not depend on the file's length."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import Any

from masklet.errors import VideoError
from masklet.video.demuxer import FFMPEG_ERRORS, Demuxer
from masklet.video.frame_seeker import CountingSeeker, FrameSeeker, TimeSeeker
from masklet.video.options import VideoOptions
from masklet.video.packet_index import PacketIndex, index_packets
from masklet.video.raw_frame import (
    IDENTITY,
    Matrix,
    RawFrame,
    VideoInfo,
    compute_display_size,
    convert_frame,
    is_right_angle,
    read_display_matrix,
)

_PROMISED = 0.9  # the share of the promised duration that must be there


class Decoder:
    """A file's frames by number, for one thread at a time. `alive` is called at every sign of life.

    Raises `InputNotFound` and `VideoError` when built.
    """

    def __init__(self, path: Path, options: VideoOptions, alive: Callable[[], None] = lambda: None) -> None:
        self._options = options
        self._stream = Demuxer(path, options, alive)
        try:
            self.info = self._read_facts()
        except VideoError:
            self.close()
            raise

    def times(self) -> array[float]:
        """The time of every frame in seconds, nan where there is none; as many as there are frames."""
        return self._numbering.times()

    def read_frame(self, index: int) -> RawFrame:
        """Frame `index`; `IndexError` where there is none."""
        if index < 0:
            raise IndexError(index)
        frame, time, lost = self._numbering.frame(index)
        size = self._size if self._options.rescale else self._shown_size(frame)
        try:
            return convert_frame(frame, size, None if isnan(time) else time, corrupt=lost or frame.is_corrupt)
        except FFMPEG_ERRORS as cause:
            message = f"{self._stream.name}: frame {index} cannot be shown as RGB ({cause})"
            raise VideoError("decoder-crashed", message, path=self._stream.name, frame=index) from cause

    def close(self) -> None:
        """Let go of the file."""
        self._stream.close()

    def _read_facts(self) -> VideoInfo:
        table = index_packets(self._stream.packets(), self._stream.is_shown)
        self._numbering = self._choose(table)
        try:
            first = self._numbering.frame(0).frame
        except IndexError:
            message = f"{self._stream.name} has no decodable frame (0 of {table.packet_count} packets)"
            raise VideoError("video-no-frames", message, path=self._stream.name) from None
        self._size = self._shown_size(first)
        matrix = read_display_matrix(first) if self._options.autorotate else IDENTITY
        length = len(table) if isinstance(self._numbering, TimeSeeker) else None
        return VideoInfo(*self._size, matrix, length, tuple(self._notices(table, matrix)))

    def _choose(self, table: PacketIndex) -> FrameSeeker:
        """AVI has no presentation times: those that FFmpeg makes up are wrong where frames are reordered."""
        avi = self._stream.kind == "an AVI video"
        reordered = len(table.key_frame_times) < len(table)
        if table.is_regular and not (avi and reordered):
            return TimeSeeker(self._stream, table)
        return CountingSeeker(self._stream, self._stream.stream.average_rate if avi else None)

    def _shown_size(self, frame: Any) -> tuple[int, int]:
        height, width = compute_display_size(frame, self._stream.stream.sample_aspect_ratio)
        if height * width > self._options.max_pixels:
            message = f"{self._stream.name} has frames of {width} × {height} pixels"
            raise VideoError("too-many-pixels", f"{message}, more than max_pixels={self._options.max_pixels}")
        return height, width

    def _notices(self, table: PacketIndex, matrix: Matrix) -> list[tuple[str, str]]:
        name, promised = self._stream.name, self._stream.stream.frames
        found = []
        if self._stream.is_truncated or table.is_damaged or self._ends_early(table):
            found.append(("video-truncated", f"{name} ends before its end; what there is is used"))
        if not table.is_regular:
            found.append(("pts-irregular", f"{name} has times that are missing, repeat or go back; frames are counted"))
        if promised and promised != table.packet_count:
            found.append(("frame-count-mismatch", f"{name} promises {promised} frames and has {table.packet_count}"))
        if not is_right_angle(matrix):
            found.append(("rotation-unusual", f"{name} asks for an odd rotation; took the nearest multiple of 90°"))
        return found

    def _ends_early(self, table: PacketIndex) -> bool:
        """Whether the frames of a Matroska file, which does not count them, end long before the promised duration."""
        stream, container = self._stream.stream, self._stream.container
        if self._stream.kind != "a Matroska or WebM video" or not container.duration or len(container.streams) > 1:
            return False
        return bool(table.end_time * stream.time_base < container.duration / 1e6 * _PROMISED - 0.5)
