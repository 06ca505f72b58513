"""What a decoder says of a file and of a frame: square pixels and RGB already, not yet turned upright."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

Matrix = tuple[int, int, int, int]
"""a, b, c, d of a display matrix in 1/65536: what lies at (x, y) is shown at (ax + cy, bx + dy), moved into view."""

IDENTITY: Matrix = (1 << 16, 0, 0, 1 << 16)
_BICUBIC, _ACCURATE, _FULL_CHROMA = 1 << 2, 1 << 18, 1 << 13  # flags of FFmpeg's scaler
_EXACTLY = _BICUBIC | _ACCURATE | _FULL_CHROMA  # its quick way from more than 8 bits loses two levels of white
_WIDEST = 16  # times as wide as high; a pixel beyond that is a mistake in the file


class RawFrame(NamedTuple):
    """`height` rows of `stride` bytes, of which `width` × `channels` count; 3 channels are RGB, 4 RGBA."""

    time: float | None
    corrupt: bool
    height: int
    width: int
    stride: int
    channels: int
    pixels: Any  # a buffer


class VideoInfo(NamedTuple):
    """What is known of a file when it is open. `length` is None where only decoding everything can tell.

    `height` and `width` are those of the first frame with square pixels, before it is turned by `matrix`. `notices`
    are codes and messages of what was decided.
    """

    height: int
    width: int
    matrix: Matrix
    frame_count: int | None
    warnings: tuple[tuple[str, str], ...]


def compute_display_size(frame: Any, aspect: Any) -> tuple[int, int]:
    """(H, W) of a frame whose pixels are `aspect` times as wide as high, with square ones: it is scaled sideways."""
    if not aspect or not 1 / _WIDEST <= aspect <= _WIDEST:
        return frame.height, frame.width
    return frame.height, max(1, round(frame.width * aspect))


def read_display_matrix(frame: Any) -> Matrix:
    """How the file asks for the frame to be turned."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return IDENTITY
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
    return a, b, c, d


def is_right_angle(matrix: Matrix) -> bool:
    """Whether a matrix turns by a multiple of 90°, with or without a flip, and does nothing else."""
    one = IDENTITY[0]
    return sorted(map(abs, matrix)) == [0, 0, one, one] and abs(matrix[0]) == abs(matrix[3])


def convert_frame(frame: Any, size: tuple[int, int], time: float | None, *, corrupt: bool) -> RawFrame:
    """The frame in RGB (RGBA where it has transparency), scaled to `size`."""
    height, width = size
    transparent = any(component.is_alpha for component in frame.format.components)
    deep = any(component.bits > 8 for component in frame.format.components)
    scaled = (frame.height, frame.width) != size
    picture = frame.reformat(
        width=width,
        height=height,
        format="rgba" if transparent else "rgb24",
        interpolation=_EXACTLY if deep else _BICUBIC if scaled else None,
    )
    plane = picture.planes[0]
    return RawFrame(time, corrupt, height, width, plane.line_size, 4 if transparent else 3, memoryview(plane))
