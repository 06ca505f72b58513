"""A video file: frames in order with decoding running ahead, or any frame by its number."""

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

_AHEAD = 4  # frames that are decoded before they are asked for
_CHUNK = 128 << 20  # bytes of frames that are held to walk backward


class _FrameDecoder(Protocol):
    info: VideoInfo

    def read_frame(self, index: int) -> RawFrame: ...

    def times(self) -> array[float]: ...

    def close(self) -> None: ...


class VideoFile(Closable):
    """A `Video` over a file. Closes when it is dropped; `with` closes it at once."""

    def __init__(self, path: Path, options: VideoOptions) -> None:
        self.name = str(path)
        self._lock, self._closed = threading.Lock(), False
        self._decoder = _decoder(path, options)
        facts = self._decoder.info
        self.size = rotate_size((facts.height, facts.width), facts.matrix)
        self.truncated = any(code == "video-truncated" for code, _ in facts.warnings)
        self._times: tuple[float | None, ...] | None = None
        self._length = facts.frame_count
        for code, message in facts.warnings:
            warn(code, message)

    def __len__(self) -> int:
        if self._length is None:
            self._length = len(self.times)
        return self._length

    @property
    def times(self) -> tuple[float | None, ...]:
        """The time of every frame in seconds, None where the file has none."""
        if self._times is None:
            with self._lock:
                times = self._decoder.times()
            self._times = tuple(None if isnan(time) else time for time in times)
        return self._times

    def __getitem__(self, index: int) -> Image:
        """The image of frame `index`. Raises `PromptError` (`unknown-frame`), `VideoError`."""
        return self._frame(index).image

    def __iter__(self) -> Iterator[Frame]:
        """All frames from the first on, decoded a few ahead. Raises `VideoError` where they cannot go on."""
        return self._noticed(prefetch(self._all(), _AHEAD))

    def frames(self, indices: range) -> Iterator[Frame]:
        """The frames of a range in its order. Walking backward holds up to 128 MB of them.

        Raises `PromptError` (`unknown-frame`) where the range leaves the video.
        """
        return self._noticed(prefetch(self._walk(indices), _AHEAD))

    def close(self) -> None:
        """End decoding. Iterating after that gives no frames."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._decoder.close()

    def _all(self) -> Iterator[Frame]:
        for index in count():
            try:
                frame = self._frame(index)
            except PromptError:
                return
            yield frame

    def _walk(self, indices: range) -> Iterator[Frame]:
        if indices.step > 0:
            yield from map(self._frame, indices)
            return
        held = max(1, _CHUNK // (3 * self.size[0] * self.size[1]))
        for start in range(0, len(indices), held):
            yield from reversed([self._frame(index) for index in reversed(indices[start : start + held])])

    def _noticed(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The same frames, with a warning at the first corrupt one."""
        told = False
        for frame in frames:
            if frame.corrupt and not told:
                told = True
                message = f"{self.name}: frame {frame.index} is corrupt; what there is of it or before it stands in"
                warn("frame-corrupt", message)
            yield frame

    def _frame(self, index: int) -> Frame:
        try:
            with self._lock:
                if self._closed:
                    raise IndexError(index)
                raw = self._decoder.read_frame(index)
        except IndexError:
            message = f"{self.name} {'is closed' if self._closed else f'has no frame {index}'}"
            raise PromptError("unknown-frame", message, path=self.name, frame=index) from None
        image = rotate_upright(raw, self._decoder.info.matrix)
        size = image.shape[:2]
        if size != self.size:
            message = (
                f"{self.name}: frame {index} has size {size}, the first one {self.size}; "
                "pass VideoOptions(rescale=True) to bring it to that"
            )
            raise VideoError("resolution-changed", message, path=self.name, frame=index)
        return Frame(index, raw.time, image, raw.corrupt)


def _decoder(path: Path, options: VideoOptions) -> _FrameDecoder:
    if options.isolated:
        return DecoderClient(path, options)
    from masklet.video.decoder import Decoder  # imports FFmpeg, which otherwise only the other process needs

    return Decoder(path, options)
