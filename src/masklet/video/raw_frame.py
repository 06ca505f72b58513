"""Raw frames: the decoder's output as RGB with square pixels, not rotated yet, and the description of a file."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from masklet.video.stream_properties import StreamProperties

Matrix = tuple[int, int, int, int]
"""a, b, c, d of a display matrix in units of 1/65536: pixel (x, y) is shown at (ax + cy, bx + dy) plus a shift."""

IDENTITY: Matrix = (1 << 16, 0, 0, 1 << 16)
_BICUBIC, _ACCURATE_ROUNDING, _FULL_CHROMA = 1 << 2, 1 << 18, 1 << 13  # flags of FFmpeg's scaler
_ACCURATE = _BICUBIC | _ACCURATE_ROUNDING | _FULL_CHROMA  # the default is off by 2 levels for more than 8 bits
_MAX_PIXEL_ASPECT = 16  # width to height of a pixel; a larger one is an error in the file


class RawFrame(NamedTuple):
    """A decoded frame.

    Attributes:
        time: The presentation time in seconds, or None.
        corrupt: Whether it could not be decoded completely.
        height: The number of rows.
        width: The number of pixels in a row.
        stride: The number of bytes in a row, padding included.
        channels: 3 for RGB, 4 for RGBA.
        pixels: A buffer of `height` rows.
    """

    time: float | None
    corrupt: bool
    height: int
    width: int
    stride: int
    channels: int
    pixels: Any


class VideoInfo(NamedTuple):
    """Description of an opened video file.

    Attributes:
        height: The height of the first frame with square pixels, before the rotation.
        width: The width of the same.
        matrix: The rotation.
        frame_count: The number of frames, or None if it is unknown until the complete file is decoded.
        warnings: Codes and messages of warnings.
        properties: Time base and color tags.
    """

    height: int
    width: int
    matrix: Matrix
    frame_count: int | None
    warnings: tuple[tuple[str, str], ...]
    properties: StreamProperties


def compute_display_size(frame: Any, aspect: Any) -> tuple[int, int]:
    """Compute the size (H, W) of a frame with square pixels, scaled in width.

    Args:
        frame: The decoded frame.
        aspect: Width divided by height of its pixels, or None.
    """
    if not aspect or not 1 / _MAX_PIXEL_ASPECT <= aspect <= _MAX_PIXEL_ASPECT:
        return frame.height, frame.width
    return frame.height, max(1, round(frame.width * aspect))


def read_display_matrix(frame: Any) -> Matrix:
    """Read the rotation of a decoded frame."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return IDENTITY
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
    return a, b, c, d


def is_right_angle(matrix: Matrix) -> bool:
    """Return whether a matrix rotates by a multiple of 90°, with or without a flip, and does not scale."""
    unit = IDENTITY[0]
    return sorted(map(abs, matrix)) == [0, 0, unit, unit] and abs(matrix[0]) == abs(matrix[3])


def convert_frame(frame: Any, size: tuple[int, int], time: float | None, *, corrupt: bool) -> RawFrame:
    """Convert a decoded frame to RGB, or RGBA if it has transparency, scaled to `size` (H, W)."""
    height, width = size
    has_alpha = any(component.is_alpha for component in frame.format.components)
    is_deep = any(component.bits > 8 for component in frame.format.components)
    is_scaled = (frame.height, frame.width) != size
    image = frame.reformat(
        width=width,
        height=height,
        format="rgba" if has_alpha else "rgb24",
        interpolation=_ACCURATE if is_deep else _BICUBIC if is_scaled else None,
    )
    plane = image.planes[0]
    return RawFrame(time, corrupt, height, width, plane.line_size, 4 if has_alpha else 3, memoryview(plane))
