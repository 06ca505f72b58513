"""Video file: frames in order with prefetch, or any frame by index."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterator
from itertools import count
from math import isnan
from pathlib import Path
from typing import Protocol

from masklet.errors import PromptError, VideoError, warn
from masklet.video.decoder_client import DecoderClient
from masklet.video.frames import Closable, Frame, Image
from masklet.video.options import VideoOptions
from masklet.video.orientation import rotate_size, rotate_upright
from masklet.video.prefetch import prefetch
from masklet.video.raw_frame import RawFrame, VideoInfo

_PREFETCH_FRAMES = 4
_MAX_BUFFER_BYTES = 128 << 20  # of frames that are decoded forward in order to be given backward


class _FrameDecoder(Protocol):
    info: VideoInfo

    def read_frame(self, index: int) -> RawFrame: ...

    def times(self) -> array[float]: ...

    def close(self) -> None: ...


class VideoFile(Closable):
    """A `Video` over a file. It is closed at the end of a `with` block, or when it is dropped.

    Args:
        path: The file.
        options: Orientation, frame size, isolation and limits.

    Attributes:
        properties: Time base and color tags of the file.

    Raises:
        InputNotFound: The file is missing, empty or unreadable.
        VideoError: The file is no video that can be decoded.
    """

    def __init__(self, path: Path, options: VideoOptions) -> None:
        self.name = str(path)
        self._lock, self._is_closed = threading.Lock(), False
        self._decoder = _open_decoder(path, options)
        info = self._decoder.info
        self.size = rotate_size((info.height, info.width), info.matrix)
        self.truncated = any(code == "video-truncated" for code, _ in info.warnings)
        self._times: tuple[float | None, ...] | None = None
        self._frame_count, self.properties = info.frame_count, info.properties
        for code, message in info.warnings:
            warn(code, message)

    def __len__(self) -> int:
        if self._frame_count is None:
            self._frame_count = len(self.times)
        return self._frame_count

    @property
    def times(self) -> tuple[float | None, ...]:
        """The presentation time of every frame in seconds, None where the file states none."""
        if self._times is None:
            with self._lock:
                times = self._decoder.times()
            self._times = tuple(None if isnan(time) else time for time in times)
        return self._times

    def __getitem__(self, index: int) -> Image:
        """Return the image of frame `index`, (H, W, 3) uint8 RGB.

        Raises:
            PromptError: `unknown-frame`. There is no such frame.
            VideoError: The frame cannot be decoded, or has another size than the first one and `rescale` is off.
        """
        return self._read_frame(index).image

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over all frames from the first one, with prefetch. Raises `VideoError` like `video[index]`."""
        return self._warn_once(prefetch(self._read_all(), _PREFETCH_FRAMES))

    def frames(self, indices: range) -> Iterator[Frame]:
        """Iterate over the frames of a range in its order, with prefetch.

        A descending range keeps up to 128 MB of frames in memory. Warns at the first corrupt frame.

        Raises:
            PromptError: `unknown-frame`. The range exceeds the video.
            VideoError: As for `video[index]`.
        """
        return self._warn_once(prefetch(self._read_range(indices), _PREFETCH_FRAMES))

    def close(self) -> None:
        """End decoding. Iteration ends."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._decoder.close()

    def _read_all(self) -> Iterator[Frame]:
        for index in count():
            try:
                frame = self._read_frame(index)
            except PromptError:
                return
            yield frame

    def _read_range(self, indices: range) -> Iterator[Frame]:
        if indices.step > 0:
            yield from map(self._read_frame, indices)
            return
        length = max(1, _MAX_BUFFER_BYTES // (3 * self.size[0] * self.size[1]))
        for start in range(0, len(indices), length):
            yield from reversed([self._read_frame(index) for index in reversed(indices[start : start + length])])

    def _warn_once(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Iterate over `frames`, and warn at the first corrupt one."""
        has_warned = False
        for frame in frames:
            if frame.corrupt and not has_warned:
                has_warned = True
                message = (
                    f"{self.name}: frame {frame.index} is corrupt; its decoded part or the frame before it is used"
                )
                warn("frame-corrupt", message)
            yield frame

    def _read_frame(self, index: int) -> Frame:
        try:
            with self._lock:
                if self._is_closed:
                    raise IndexError(index)
                raw = self._decoder.read_frame(index)
        except IndexError:
            message = f"{self.name} {'is closed' if self._is_closed else f'has no frame {index}'}"
            raise PromptError("unknown-frame", message, path=self.name, frame=index) from None
        image = rotate_upright(raw, self._decoder.info.matrix)
        size = image.shape[:2]
        if size != self.size:
            message = (
                f"{self.name}: frame {index} has size {size}, the first one {self.size}; "
                "pass VideoOptions(rescale=True) to scale it"
            )
            raise VideoError("resolution-changed", message, path=self.name, frame=index)
        return Frame(index, raw.time, image, raw.corrupt)


def _open_decoder(path: Path, options: VideoOptions) -> _FrameDecoder:
    if options.isolated:
        return DecoderClient(path, options)
    from masklet.video.decoder import Decoder  # imports FFmpeg, which an isolated decoder has in its own process

    return Decoder(path, options)
