"""Pictures become a video file, each at its own time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from masklet.errors import BackendError, ResourceError
from masklet.files.translate import translate_errors

_THREADS = 4  # always: encoders give other bytes with another number
_BT709 = 1  # in all three of FFmpeg's tables of colours


@dataclass(frozen=True, slots=True)
class Codec:
    """A kind of video file: container, encoder, its options and pixel format; `step` is what sides are multiples of."""

    container: str
    encoder: str
    pixels: str
    options: Mapping[str, str]
    step: int = 1
    container_options: Mapping[str, str] | None = None


# Without mbtree: with it x264 gives other bytes from time to time.
H264 = Codec("mp4", "libx264", "yuv420p", {"crf": "20", "preset": "fast", "mbtree": "0"}, step=2)
# Every picture is on the disk when the next one comes: a program that dies leaves a file that can be played.
H264_LIVE = Codec(
    "mp4", "libx264", "yuv420p", {"crf": "20", "preset": "veryfast", "tune": "zerolatency", "g": "60"}, step=2,
    container_options={"movflags": "frag_every_frame+empty_moov+default_base_moof", "flush_packets": "1"},
)  # fmt: skip
VP9_ALPHA = Codec(
    "webm", "libvpx-vp9", "yuva420p", {"crf": "18", "b": "0", "auto-alt-ref": "0", "cpu-used": "4", "row-mt": "1"}
)
PRORES_4444 = Codec("mov", "prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"})


@dataclass(frozen=True, slots=True)
class Timing:
    """The unit in which times are counted, in seconds, and about how many pictures come in a second."""

    time_base: Fraction
    rate: Fraction


class VideoEncoder:
    """A video file being written to an open binary `handle`.

    Pictures are (H, W, 3) RGB or (H, W, 4) RGBA uint8, all of one `size`; a side that the codec cannot have is one
    pixel longer in the file, its last row or column twice.
    Raises `BackendError` (`codec-unavailable`) or `ResourceError`.
    """

    def __init__(self, handle: BinaryIO, codec: Codec, size: tuple[int, int], timing: Timing) -> None:
        if codec.encoder not in av.codecs_available:
            message = f"this build of FFmpeg has no encoder {codec.encoder}; choose another --format"
            raise BackendError("codec-unavailable", message)
        self._codec, self._timing = codec, timing
        self._padding = tuple(-side % codec.step for side in size)
        self._last = -1
        options = {"fflags": "+bitexact", **(codec.container_options or {})}  # no random ids: same input, same bytes
        self.container = av.open(handle, "w", format=codec.container, options=options)
        self._stream = self._added(size)

    def add(self, picture: NDArray[np.uint8], time: int) -> None:
        """The next picture, at `time` in units of the time base, at the earliest one unit after the last."""
        height, width = self._padding
        padded = np.pad(picture, ((0, height), (0, width), (0, 0)), "edge") if any(self._padding) else picture
        frame = av.VideoFrame.from_ndarray(padded, format="rgb24" if padded.shape[2] == 3 else "rgba")
        frame = frame.reformat(format=self._codec.pixels, dst_colorspace="ITU709", dst_color_range="MPEG")
        self._last = frame.pts = max(time, self._last + 1)
        frame.time_base = self._timing.time_base
        with translate_errors(av.FFmpegError, into=_encoding_error):
            self.container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what the encoder still holds, and the end of the file."""
        with translate_errors(av.FFmpegError, into=_encoding_error):
            self.container.mux(self._stream.encode(None))
            self.container.close()

    def __enter__(self) -> VideoEncoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()

    def _added(self, size: tuple[int, int]) -> Any:
        rate = self._timing.rate
        stream: Any = self.container.add_stream(self._codec.encoder, rate=rate, options=dict(self._codec.options))
        context = stream.codec_context
        context.height, context.width = (side + more for side, more in zip(size, self._padding, strict=True))
        context.pix_fmt, context.thread_count = self._codec.pixels, _THREADS
        context.time_base = stream.time_base = self._timing.time_base
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        return stream


def _encoding_error(cause: av.FFmpegError) -> ResourceError:
    message = f"the video cannot be encoded: {cause.strerror}; try another --format"
    return ResourceError("output-failed", message)
