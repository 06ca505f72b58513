"""Stream properties: the time base and the color tags of a video file, which mattes take over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

UNSPECIFIED = 2  # of primaries, transfer and matrix
_FULL_RANGE = 2


class ColorTags(NamedTuple):
    """How the numbers of a video stand for colors, as code points of ITU-T H.273.

    Attributes:
        primaries: Color primaries.
        transfer: Transfer characteristics.
        matrix: Matrix coefficients; 0 for RGB.
        range: 1 for limited range, 2 for full range, 0 if it is not stated.
    """

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    range: int = 0


class StreamProperties(NamedTuple):
    """Properties of a file's video stream.

    Attributes:
        time_base: Numerator and denominator of the unit of times in seconds.
        color: The color tags.
    """

    time_base: tuple[int, int]
    color: ColorTags = ColorTags()


def read_properties(stream: Any, frame: Any) -> StreamProperties:
    """Read the properties of PyAV's stream with its first decoded frame."""
    context = stream.codec_context
    is_full = frame.format.name.startswith("yuvj")
    color = ColorTags(
        int(context.color_primaries),
        int(context.color_trc),
        int(context.colorspace),
        _FULL_RANGE if is_full else int(frame.color_range) or int(context.color_range),
    )
    return StreamProperties((stream.time_base.numerator, stream.time_base.denominator), color)


def parse_properties(fields: Sequence[Any]) -> StreamProperties:
    """Parse the fields of properties from another process. Raises `ValueError` or `TypeError`."""
    (numerator, denominator), color = fields
    numbers = [numerator, denominator, *color]
    if any(not isinstance(number, int) or not 0 <= number < 1 << 31 for number in numbers) or not denominator:
        raise ValueError(f"{fields} are not the properties of a stream")
    return StreamProperties((numerator, denominator), ColorTags(*color))
