"""Video encoder: writes images to a video file, each at its own time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from masklet.errors import BackendError, ResourceError
from masklet.files.error_translation import translate_errors

_THREADS = 4  # constant, since the encoded bytes depend on it
_BT709 = 1  # in FFmpeg's tables of color space, primaries and transfer


@dataclass(frozen=True, slots=True)
class Codec:
    """A kind of video file: container, encoder with its options, and pixel format. Sides are padded to a multiple of
    `side_multiple` pixels."""

    container: str
    encoder: str
    pixel_format: str
    options: Mapping[str, str]
    side_multiple: int = 1
    container_options: Mapping[str, str] | None = None


# mbtree is off, since it makes the output of x264 irreproducible.
H264 = Codec("mp4", "libx264", "yuv420p", {"crf": "20", "preset": "fast", "mbtree": "0"}, side_multiple=2)
# Each image is on disk before the next one is encoded, so that a crash leaves a playable file.
H264_LIVE = Codec(
    "mp4", "libx264", "yuv420p", {"crf": "20", "preset": "veryfast", "tune": "zerolatency", "g": "60"}, side_multiple=2,
    container_options={"movflags": "frag_every_frame+empty_moov+default_base_moof", "flush_packets": "1"},
)  # fmt: skip
VP9_ALPHA = Codec(
    "webm", "libvpx-vp9", "yuva420p", {"crf": "18", "b": "0", "auto-alt-ref": "0", "cpu-used": "4", "row-mt": "1"}
)
PRORES_4444 = Codec("mov", "prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "16"})


@dataclass(frozen=True, slots=True)
class Timing:
    """Time base in seconds, and the approximate frame rate in frames per second."""

    time_base: Fraction
    rate: Fraction


class VideoEncoder:
    """Encodes images to a video file, written to an open binary `handle`.

    Images are (H, W, 3) RGB or (H, W, 4) RGBA uint8, all of the same `size` (H, W). A side that the codec does not
    support is padded by repeating the last row or column.
    Raises `BackendError` (`codec-unavailable`) or `ResourceError`.
    """

    def __init__(self, handle: BinaryIO, codec: Codec, size: tuple[int, int], timing: Timing) -> None:
        if codec.encoder not in av.codecs_available:
            message = f"this build of FFmpeg has no encoder {codec.encoder}; choose another --format"
            raise BackendError("codec-unavailable", message)
        self._codec, self._timing = codec, timing
        self._padding = tuple(-side % codec.side_multiple for side in size)
        self._last = -1
        options = {"fflags": "+bitexact", **(codec.container_options or {})}  # no random ids: same input, same bytes
        self.container = av.open(handle, "w", format=codec.container, options=options)
        self._stream = self._add_stream(size)

    def add(self, image: NDArray[np.uint8], time: int) -> None:
        """Encode an image at `time` in units of the time base, or one unit after the last image if that is later."""
        height, width = self._padding
        padded = np.pad(image, ((0, height), (0, width), (0, 0)), "edge") if any(self._padding) else image
        frame = av.VideoFrame.from_ndarray(padded, format="rgb24" if padded.shape[2] == 3 else "rgba")
        frame = frame.reformat(format=self._codec.pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG")
        self._last = frame.pts = max(time, self._last + 1)
        frame.time_base = self._timing.time_base
        with translate_errors(av.FFmpegError, into=_encoding_error):
            self.container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Flush the encoder and finish the file."""
        with translate_errors(av.FFmpegError, into=_encoding_error):
            self.container.mux(self._stream.encode(None))
            self.container.close()

    def __enter__(self) -> VideoEncoder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()

    def _add_stream(self, size: tuple[int, int]) -> Any:
        rate = self._timing.rate
        stream: Any = self.container.add_stream(self._codec.encoder, rate=rate, options=dict(self._codec.options))
        context = stream.codec_context
        context.height, context.width = (side + padding for side, padding in zip(size, self._padding, strict=True))
        context.pix_fmt, context.thread_count = self._codec.pixel_format, _THREADS
        context.time_base = stream.time_base = self._timing.time_base
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        return stream


def _encoding_error(cause: av.FFmpegError) -> ResourceError:
    message = f"cannot encode the video: {cause.strerror}; choose another --format"
    return ResourceError("output-failed", message)
