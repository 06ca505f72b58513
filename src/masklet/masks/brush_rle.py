"""Brush RLE: the run-length encoding of masks in Label Studio, which is the format of @thi.ng/rle-pack.

A bit stream, highest bit first, in bytes. 32 bits have the number of values, 5 bits the size of a value, and 4 × 4 bits
the widths of the four kinds of lengths, each less 1. Then come records: a flag (1 for a run of one value, 0 for literal
values), 2 bits with the kind of length, the length less 1, and the value or the values. The values of a mask are the
four channels of every pixel, row by row; the fourth one is the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError, PromptError
from masklet.masks.rle import MAX_PIXELS

_CHANNELS, _ALPHA = 4, 3
_VALUE_BITS = 8
_WIDTHS = (3, 4, 8, 16)  # of the four kinds of lengths
_LONGEST_RUN = 1 << _WIDTHS[-1]
_COUNT_BITS, _SIZE_BITS, _WIDTH_BITS, _KIND_BITS = 32, 5, 4, 2
_HEADER_BITS = _COUNT_BITS + _SIZE_BITS + len(_WIDTHS) * _WIDTH_BITS
_FOREGROUND, _OPAQUE = 255, 128  # the value that is written, and the least one that is read as foreground


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """Encode a mask (H, W) as the `rle` of a brush region: a list of bytes, equal to that of label-studio-sdk.

    Raises:
        PromptError: `mask-shape`. The array is not (H, W), or it has no pixels or too many for the format.
    """
    if mask.ndim != 2 or 0 in mask.shape or mask.size * _CHANNELS >= 1 << _COUNT_BITS:
        raise PromptError("mask-shape", f"a mask must be (H, W) with fewer than 2^30 pixels, got shape {mask.shape}")
    pixels = np.ascontiguousarray(mask, bool).ravel()
    starts = np.concatenate([[0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1])
    lengths = np.diff(starts, append=pixels.size) * _CHANNELS
    values = np.where(pixels[starts], _FOREGROUND, 0)
    lengths, values = _split_runs(lengths, values)
    kinds = np.searchsorted([1 << width for width in _WIDTHS], lengths)
    widths = np.array(_WIDTHS)[kinds]
    records = (((4 | kinds) << widths | (lengths - 1)) << _VALUE_BITS) | values
    header = [(pixels.size * _CHANNELS, _COUNT_BITS), (_VALUE_BITS - 1, _SIZE_BITS)]
    header += [(width - 1, _WIDTH_BITS) for width in _WIDTHS]
    numbers, sizes = (np.array(column, np.int64) for column in zip(*header, strict=True))
    bits = _to_bits(np.concatenate([numbers, records]), np.concatenate([sizes, 1 + _KIND_BITS + widths + _VALUE_BITS]))
    padding = np.zeros(8 - len(bits) % 8, np.uint8)  # a whole byte where the bits fill their bytes
    packed: list[int] = np.packbits(np.concatenate([bits, padding])).tolist()
    return packed


def decode_brush(rle: Sequence[int] | bytes, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode the `rle` of a brush region.

    Args:
        rle: The bytes, or a list of them.
        size: The image's (H, W): `original_height` and `original_width` of the region.

    Returns:
        The mask (H, W) of the pixels that are at least half opaque.

    Raises:
        FormatError: `bad-rle`. The bytes are not brush RLE, or not of a mask of this size.
    """
    height, width = size
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise _error(f"a mask of {height} × {width} cannot be decoded; it may have 1 to {MAX_PIXELS} pixels")
    stream = _BitReader(_to_bytes(rle))
    count, value_bits = stream.read(_COUNT_BITS), stream.read(_SIZE_BITS) + 1
    widths = [stream.read(_WIDTH_BITS) + 1 for _ in _WIDTHS]
    if count != height * width * _CHANNELS or value_bits != _VALUE_BITS:
        form = f"{count} values of {value_bits} bits"
        message = f"{form}, but a mask of {height} × {width} has {height * width * _CHANNELS} values of 8 bits"
        raise _error(message)
    alpha, position = np.zeros(height * width, np.uint8), 0
    while position < count:
        is_run = stream.read(1)
        end = position + 1 + stream.read(widths[stream.read(_KIND_BITS)])
        if end > count:
            raise _error(f"a run ends at value {end}, after the last one, {count}")
        pixels = slice(position // _CHANNELS, end // _CHANNELS)  # those whose alpha is among the values
        if is_run:
            alpha[pixels] = stream.read(_VALUE_BITS)
        else:
            alpha[pixels] = stream.read_bytes(end - position)[(_ALPHA - position) % _CHANNELS :: _CHANNELS]
        position = end
    return (alpha >= _OPAQUE).reshape(height, width)


class _BitReader:
    """Numbers of any width, read one after the other from bytes."""

    def __init__(self, content: bytes) -> None:
        self._content, self._position, self._length = content, 0, 8 * len(content)

    def read(self, width: int) -> int:
        start, self._position = self._position, self._position + width
        if self._position > self._length:
            raise _error(f"it ends after {self._length // 8} bytes, in the middle of the mask")
        last = (self._position + 7) // 8
        number = int.from_bytes(self._content[start // 8 : last], "big") >> (8 * last - self._position)
        return number & ((1 << width) - 1)

    def read_bytes(self, count: int) -> NDArray[np.uint8]:
        number = self.read(8 * count)
        return np.frombuffer(number.to_bytes(count, "big"), np.uint8)


def _split_runs(lengths: NDArray[np.int64], values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Split runs that are longer than a length can be; all parts but the last are as long as possible."""
    parts = (lengths - 1) // _LONGEST_RUN + 1
    split = np.full(int(parts.sum()), _LONGEST_RUN, np.int64)
    split[np.cumsum(parts) - 1] = lengths - (parts - 1) * _LONGEST_RUN
    return split, np.repeat(values, parts)


def _to_bits(numbers: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Write numbers as bits, each in its width, highest bit first."""
    ends = np.cumsum(widths)
    shifts = np.repeat(ends, widths) - 1 - np.arange(ends[-1])
    return (np.repeat(numbers, widths) >> shifts & 1).astype(np.uint8)


def _to_bytes(rle: Sequence[int] | bytes) -> bytes:
    try:
        return bytes(rle)
    except (TypeError, ValueError) as cause:
        raise _error("it must be a list of numbers from 0 to 255") from cause


def _error(message: str) -> FormatError:
    return FormatError("bad-rle", f"the brush RLE is broken: {message}")
