"""Video decoder: any frame of a file by its exact index, in memory that does not depend on the file's length."""

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
from masklet.video.sample_index import index_samples
from masklet.video.stream_properties import read_properties

_MIN_DURATION_SHARE = 0.9  # of the stated duration that the frames of an intact file cover


class Decoder:
    """Decodes the frames of a file, for one thread at a time.

    Args:
        path: The file.
        options: Orientation, frame size and limits.
        report_alive: Called with every packet and every frame.

    Attributes:
        info: The description of the file.

    Raises:
        InputNotFound: The file is missing, empty or unreadable.
        VideoError: The file is no video that can be decoded.
    """

    def __init__(self, path: Path, options: VideoOptions, report_alive: Callable[[], None] = lambda: None) -> None:
        self._options = options
        self._demuxer = Demuxer(path, options, report_alive)
        try:
            self.info = self._read_info()
        except VideoError:
            self.close()
            raise

    def times(self) -> array[float]:
        """Return the presentation time of every frame in seconds, nan where there is none."""
        return self._seeker.times()

    def read_frame(self, index: int) -> RawFrame:
        """Decode frame `index`.

        Raises:
            IndexError: There is no such frame.
            VideoError: `decoder-crashed` if the frame cannot be converted to RGB, `too-many-pixels` if it is too large.
        """
        if index < 0:
            raise IndexError(index)
        time = self._seeker.time(index)
        frame, is_lost = self._seeker.frame(index)
        is_fixed = self._options.rescale or self._options.scale_to
        size = self._size if is_fixed else self._compute_size(frame)
        try:
            return convert_frame(frame, size, None if isnan(time) else time, corrupt=is_lost or frame.is_corrupt)
        except FFMPEG_ERRORS as cause:
            message = f"{self._demuxer.name}: frame {index} cannot be converted to RGB ({cause})"
            raise VideoError("decoder-crashed", message, path=self._demuxer.name, frame=index) from cause

    def close(self) -> None:
        """Close the file."""
        self._demuxer.close()

    def _read_info(self) -> VideoInfo:
        index = index_samples(self._demuxer)
        if index is None:
            self._demuxer.restart()
            index = index_packets(self._demuxer.packets(), self._demuxer.is_shown)
        self._seeker = self._choose_seeker(index)
        try:
            first = self._seeker.frame(0).frame
        except IndexError:
            self._demuxer.check_frame_size()
            message = f"{self._demuxer.name} has no decodable frame (0 of {index.packet_count} packets)"
            if self._demuxer.is_truncated:
                message = f"{message}; it is cut off"
            raise VideoError("video-no-frames", message, path=self._demuxer.name) from None
        self._size = self._compute_size(first)
        matrix = read_display_matrix(first) if self._options.autorotate else IDENTITY
        if self._options.scale_to:
            from masklet.video.orientation import rotate_size  # imports NumPy, which the process needs only here

            height, width = self._options.scale_to
            self._size = rotate_size((height, width), matrix)
        frame_count = len(index) if isinstance(self._seeker, TimeSeeker) else None
        properties = read_properties(self._demuxer.stream, first)
        return VideoInfo(*self._size, matrix, frame_count, tuple(self._list_warnings(index, matrix)), properties)

    def _choose_seeker(self, index: PacketIndex) -> FrameSeeker:
        """Choose how to find frames. AVI states no times, and those that FFmpeg computes are wrong for B-frames."""
        is_avi = self._demuxer.file_type == "an AVI video"
        may_be_reordered = len(index.key_frame_times) < len(index)
        if index.is_regular and not (is_avi and may_be_reordered):
            return TimeSeeker(self._demuxer, index)
        return CountingSeeker(self._demuxer, self._demuxer.stream.average_rate if is_avi else None)

    def _compute_size(self, frame: Any) -> tuple[int, int]:
        height, width = compute_display_size(frame, self._demuxer.stream.sample_aspect_ratio)
        if height * width > self._options.max_pixels:
            message = f"{self._demuxer.name} has frames of {width} × {height} pixels"
            raise VideoError(
                "too-many-pixels", f"{message}, more than max_pixels={self._options.max_pixels}; make it smaller"
            )
        return height, width

    def _list_warnings(self, index: PacketIndex, matrix: Matrix) -> list[tuple[str, str]]:
        name, stated = self._demuxer.name, self._demuxer.stream.frames
        warnings = []
        if self._demuxer.is_truncated or index.is_damaged or self._ends_early(index):
            warnings.append(("video-truncated", f"{name} is truncated; the frames before its end are used"))
        if not index.is_regular:
            message = f"{name} has missing, repeated or descending times; frames are counted and times corrected"
            warnings.append(("pts-irregular", message))
        if stated and stated != index.packet_count:
            message = f"{name} states {stated} frames and has {index.packet_count}"
            warnings.append(("frame-count-mismatch", message))
        if not is_right_angle(matrix):
            message = f"{name} asks for an unusual rotation; the nearest multiple of 90° is used"
            warnings.append(("rotation-unusual", message))
        return warnings

    def _ends_early(self, index: PacketIndex) -> bool:
        """Return whether the frames of a Matroska file, which states no frame count, end before the stated duration."""
        stream, container = self._demuxer.stream, self._demuxer.container
        is_matroska = self._demuxer.file_type == "a Matroska or WebM video"
        if not is_matroska or not container.duration or len(container.streams) > 1:
            return False
        return bool(index.end_time * stream.time_base < container.duration / 1e6 * _MIN_DURATION_SHARE - 0.5)
