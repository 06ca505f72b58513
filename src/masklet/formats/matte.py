"""Mattes for video editors: the soft alpha of each object as a video, or as images of 16 bits.

Every object has a frame for each frame of the clip, black where it is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from functools import partial
from itertools import chain, repeat
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.formats.format import Clip, FolderFormat, Format, ObjectFilesFormat, OpenFile, name_object
from masklet.formats.frame_source import DEFAULT_FRAME_RATE, frame_times, pair_with_images
from masklet.formats.video_encoder import H264_MATTE, PRORES_4444, Codec, VideoEncoder
from masklet.masks import rle
from masklet.masks.rle_frame import RleFrame
from masklet.masks.soft_edges import decode_alpha
from masklet.video.stream_properties import StreamProperties

Alpha = NDArray[np.float32]
_RIM = 8  # pixels around the alpha that keep their color, so that compression does not darken the edge
_MAX_OPEN_FILES = 8  # encoders at a time; further objects are encoded in another pass
_MAX_TIMESCALE = 10_000_000  # units per second of a file
_UNKNOWN = StreamProperties((1, 90_000))  # the usual frame rates and milliseconds are whole numbers of it


def make_alpha(frame: RleFrame, object_id: int) -> Alpha:
    """Return the alpha channel (H, W) from 0 to 1 of an object on a frame."""
    mask = frame.of(object_id)
    return np.zeros(frame.size, np.float32) if mask is None else decode_alpha(rle.decode(mask.rle), mask.edge)


def _encode_images(
    frame: RleFrame, clip: Clip, *, suffix: str, encode: Callable[[Alpha], bytes]
) -> Mapping[str, bytes]:
    name = f"frame_{frame.index:06d}{suffix}"
    return {f"{name_object(one)}/{name}": encode(make_alpha(frame, one)) for one in clip.object_ids}


def _encode_png(alpha: Alpha) -> bytes:
    """Encode alpha as a gray PNG with 16 bits."""
    return cv2.imencode(".png", np.rint(alpha * 65_535).astype(np.uint16))[1].tobytes()


def _encode_exr(alpha: Alpha) -> bytes:
    """Encode alpha as an OpenEXR file with the channel Y of half floats, compressed by ZIP."""
    context: Any = av.CodecContext.create("exr", "w")
    context.height, context.width = alpha.shape
    context.pix_fmt, context.time_base = "grayf32le", Fraction(1, DEFAULT_FRAME_RATE)
    context.thread_count, context.options = 1, {"format": "half", "compression": "zip16"}
    frame: Any = av.VideoFrame(alpha.shape[1], alpha.shape[0], "grayf32le")
    rows = np.zeros((alpha.shape[0], frame.planes[0].line_size // 4), np.float32)
    rows[:, : alpha.shape[1]] = alpha
    frame.planes[0].update(rows)
    return b"".join(map(bytes, chain(context.encode(frame), context.encode(None))))


def _write_videos(open_file: OpenFile, frames: Iterable[RleFrame], clip: Clip, *, codec: Codec, fill: bool) -> None:
    """Write a video per object: gray, or with `fill` the video's own colors with alpha, which are not premultiplied."""
    for start in range(0, len(clip.object_ids), _MAX_OPEN_FILES):
        group = clip.object_ids[start : start + _MAX_OPEN_FILES]
        _write_group(open_file, frames, clip, group, codec, fill=fill)


def _write_group(
    open_file: OpenFile, frames: Iterable[RleFrame], clip: Clip, group: Sequence[int], codec: Codec, *, fill: bool
) -> None:
    properties = getattr(clip.video, "properties", _UNKNOWN)
    times = frame_times(frames, _choose_time_base(properties))
    images = (image for _, image in pair_with_images(frames, clip)) if fill else repeat(None)
    with ExitStack() as stack:
        encoders = {}
        for one in group:
            handle = stack.enter_context(open_file(one))
            encoder = VideoEncoder(handle, codec, clip.size, times.timing, properties.color, exact_times=True)
            encoders[one] = stack.enter_context(encoder)
        for frame, duration, image in zip(frames, times.durations(frames), images, strict=False):
            for one, encoder in encoders.items():
                alpha = make_alpha(frame, one)
                encoder.add(_to_gray(alpha) if image is None else _fill(image, alpha), times.ticks(frame), duration)


def _choose_time_base(properties: StreamProperties) -> Fraction:
    denominator = properties.time_base[1]
    return Fraction(1, denominator if denominator <= _MAX_TIMESCALE else _UNKNOWN.time_base[1])


def _to_gray(alpha: Alpha) -> NDArray[np.uint8]:
    return np.repeat(np.rint(alpha * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _fill(image: NDArray[np.uint8], alpha: Alpha) -> NDArray[np.uint16]:
    """Return an image with alpha, (H, W, 4) with 16 bits, black away from the object."""
    near = cv2.dilate((alpha > 0).astype(np.uint8), np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8))
    colors = cv2.copyTo(image, near).astype(np.uint16) * 257
    return np.dstack([colors, np.rint(alpha * 65_535).astype(np.uint16)])


MATTE_PRORES = ObjectFilesFormat(
    "matte_prores", "matte_prores", ".mov", partial(_write_videos, codec=PRORES_4444, fill=True),
    shows_images=True, shows_edges=True,
)  # fmt: skip
MATTE_MP4 = ObjectFilesFormat(
    "matte_mp4", "matte_mp4", ".mp4", partial(_write_videos, codec=H264_MATTE, fill=False), shows_edges=True
)
MATTE_PNG = FolderFormat(
    "matte_png", "matte_png", partial(_encode_images, suffix=".png", encode=_encode_png), read=None,
    shows_edges=True,
)  # fmt: skip
MATTE_EXR = FolderFormat(
    "matte_exr", "matte_exr", partial(_encode_images, suffix=".exr", encode=_encode_exr), read=None,
    shows_edges=True,
)  # fmt: skip
MATTES: tuple[Format, ...] = (MATTE_PRORES, MATTE_MP4, MATTE_PNG, MATTE_EXR)
