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
from masklet.video.stream_properties import UNSPECIFIED, ColorTags

_THREADS = 4  # constant, since the encoded bytes depend on it
_LIMITED_RANGE = 1
_BT709 = ColorTags(1, 1, 1, _LIMITED_RANGE)
# Matrices of FFmpeg's scaler by code point. It reads videos without a matrix as BT.601, so they are written as such.
_MATRICES = {1: 1, UNSPECIFIED: 5, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}


@dataclass(frozen=True, slots=True)
class Codec:
    """A kind of video file: container, encoder with its options, and pixel format. Sides are padded to a multiple of
    `side_multiple` pixels. Without `has_full_range`, numbers have limited range whatever is asked for."""

    container: str
    encoder: str
    pixel_format: str
    options: Mapping[str, str]
    side_multiple: int = 1
    container_options: Mapping[str, str] | None = None
    has_full_range: bool = False


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


# Without B-frames, a packet has the time and duration of its image. Masks have few colors: CRF 12 shows no blocks.
H264_MATTE = Codec(
    "mp4", "libx264", "yuv420p", {"crf": "12", "preset": "fast", "mbtree": "0", "bf": "0"}, side_multiple=2,
    has_full_range=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Timing:
    """Time base in seconds, and the approximate frame rate in frames per second."""

    time_base: Fraction
    rate: Fraction


class VideoEncoder:
    """Encodes images to a video file, written to an open binary `handle`.

    Images are (H, W, 3) RGB or (H, W, 4) RGBA uint8, or RGBA uint16, all of the same `size` (H, W). A side that the
    codec does not support is padded by repeating the last row or column. By default colors are BT.709. With
    `exact_times`, the file has the time base of `timing`, and otherwise one of the muxer's choice.
    Raises `BackendError` (`codec-unavailable`) or `ResourceError`.
    """

    def __init__(
        self,
        handle: BinaryIO,
        codec: Codec,
        size: tuple[int, int],
        timing: Timing,
        color: ColorTags = _BT709,
        *,
        exact_times: bool = False,
    ) -> None:
        if codec.encoder not in av.codecs_available:
            message = f"this build of FFmpeg has no encoder {codec.encoder}; choose another --format"
            raise BackendError("codec-unavailable", message)
        self._codec, self._timing, self._color = codec, timing, _choose_color(color, codec)
        self._padding = tuple(-side % codec.side_multiple for side in size)
        self._last = -1
        options = {"fflags": "+bitexact", **(codec.container_options or {})}  # no random ids: same input, same bytes
        if exact_times:
            options |= dict.fromkeys(("video_track_timescale", "movie_timescale"), str(timing.time_base.denominator))
        self.container = av.open(handle, "w", format=codec.container, options=options)
        self._stream = self._add_stream(size)

    def add(self, image: NDArray[np.uint8] | NDArray[np.uint16], time: int, duration: int | None = None) -> None:
        """Encode an image at `time` in units of the time base, or one unit after the last image if that is later.

        It is shown for `duration` units, by default as long as one at the frame rate.
        """
        height, width = self._padding
        padded = np.pad(image, ((0, height), (0, width), (0, 0)), "edge") if any(self._padding) else image
        layout = "rgba64le" if padded.dtype == np.uint16 else "rgb24" if padded.shape[2] == 3 else "rgba"
        color = self._color
        pixels: Any = padded
        frame: Any = av.VideoFrame.from_ndarray(pixels, format=layout).reformat(
            format=self._codec.pixel_format,
            dst_colorspace=_MATRICES[color.matrix],
            dst_color_range=color.range or _LIMITED_RANGE,
        )
        frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range = color
        self._last = frame.pts = max(time, self._last + 1)
        frame.time_base = self._timing.time_base
        if duration:
            frame.duration = duration
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
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = self._color
        return stream


def _choose_color(color: ColorTags, codec: Codec) -> ColorTags:
    """Return the color tags of a file: limited range and BT.709 where the codec or FFmpeg's scaler lacks another."""
    limits = color._replace(range=color.range if codec.has_full_range else _LIMITED_RANGE)
    return limits if color.matrix in _MATRICES else limits._replace(matrix=_BT709.matrix)


def _encoding_error(cause: av.FFmpegError) -> ResourceError:
    message = f"cannot encode the video: {cause.strerror}; choose another --format"
    return ResourceError("output-failed", message)
