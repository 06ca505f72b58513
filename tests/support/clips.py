"""Clips of numbered frames: each frame shows its own number, in any container and codec."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

_BITS = 8  # of the number that a frame shows as black and white blocks in its upper half
SIZE = (48, 128)  # H, W


def make_numbered_image(number: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Make an image (H, W, 3) that shows a number. Its bottom left quarter is red, so that rotations are visible."""
    height, width = size
    image = np.full((height, width, 3), 90, np.uint8)
    for bit in range(_BITS):
        image[: height // 2, bit * width // _BITS : (bit + 1) * width // _BITS] = 255 if number >> bit & 1 else 0
    image[height // 2 :, : width // 2] = (220, 20, 20)
    return image


def read_number(image: NDArray[np.uint8]) -> int:
    """Read the number that an image shows."""
    height, width = image.shape[:2]
    centers = [(2 * bit + 1) * width // (2 * _BITS) for bit in range(_BITS)]
    return sum(int(image[height // 4, x].mean() > 128) << bit for bit, x in enumerate(centers))


def write_clip(
    path: Path,
    frames: int | Sequence[int] = 12,
    codec: str = "libx264",
    *,
    size: tuple[int, int] = SIZE,
    times: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    **settings: Any,
) -> Path:
    """Write a clip of numbered frames at 10 per second.

    Args:
        path: The file; its suffix selects the container.
        frames: The number of frames, or the number that each frame shows.
        codec: FFmpeg's name of the encoder.
        size: (H, W) of the frames.
        times: The presentation times in tenths of a second. By default they are 0, 1, 2, …
        options: Options of the encoder.
        settings: Attributes of the codec context, `pix_fmt`, and `container` for the options of the container.

    Returns:
        `path`.
    """
    numbers = range(frames) if isinstance(frames, int) else frames
    format_options = settings.pop("container", {})
    with av.open(str(path), "w", options=format_options) as output:
        stream = output.add_stream(codec, rate=10, options=options or {})
        stream.height, stream.width = size
        stream.pix_fmt = settings.pop("pix_fmt", "yuvj420p" if codec == "mjpeg" else "yuv420p")
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        for index, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(make_numbered_image(number, size), "rgb24")
            frame.pts = index if times is None else times[index]
            frame.time_base = Fraction(1, 10)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def set_display_matrix(path: Path, matrix: Sequence[float]) -> Path:
    """Replace the display matrix (a, b, c, d) of an MP4 file in place. Returns `path`."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4
    offset = start + (4 + 32 if data[start] == 0 else 4 + 44) + 4
    a, b, c, d = (round(value * 65536) for value in matrix)
    data[offset : offset + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path
