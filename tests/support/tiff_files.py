"""TIFF files of any layout: bands interleaved or in planes, of any depth, in strips or tiles, in both byte orders."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

RGB, BLACK_IS_ZERO, WHITE_IS_ZERO, CMYK = 2, 1, 0, 5  # photometric interpretations
_SHORT, _LONG = 3, 4
_SAMPLE_FORMATS = {"u": 1, "b": 1, "i": 2, "f": 3, "c": 6}


def write_tiff(
    array: NDArray[Any],
    *,
    planar: bool = False,
    photometric: int | None = None,
    extra: Sequence[int] = (),
    order: str = "<",
    rows: int | None = None,
    tile: int | None = None,
    deflate: bool = False,
    bits: int | None = None,
) -> bytes:
    """Return the bytes of a TIFF.

    Args:
        array: The image (H, W) or (H, W, C), of any dtype.
        planar: Store each band in a plane of its own.
        photometric: The photometric interpretation; by default RGB from three bands on.
        extra: The meaning of the bands after the colors: 0 for any, 1 or 2 for alpha.
        order: The byte order, "<" or ">".
        rows: Rows in a strip; by default all.
        tile: Side of the tiles, a multiple of 16; by default strips.
        deflate: Compress the strips or tiles.
        bits: Bits per sample, if they are fewer than those of the dtype; only whole bytes are packed.
    """
    bands = array.reshape(*array.shape[:2], -1).astype(array.dtype.newbyteorder(order))
    height, width, count = bands.shape
    parts = [bands[:, :, band : band + 1] for band in range(count)] if planar else [bands]
    chunks = [chunk for part in parts for chunk in _cut(part, rows or height, tile)]
    data = [zlib.compress(chunk) if deflate else chunk for chunk in chunks]
    starts = np.cumsum([8, *map(len, data)]).tolist()
    depth = bits or 8 * array.dtype.itemsize
    entries: dict[int, tuple[int, Sequence[int]]] = {
        256: (_LONG, [width]),
        257: (_LONG, [height]),
        258: (_SHORT, [depth] * count),
        259: (_SHORT, [8 if deflate else 1]),
        262: (_SHORT, [photometric if photometric is not None else RGB if count > 2 else BLACK_IS_ZERO]),
        277: (_SHORT, [count]),
        284: (_SHORT, [2 if planar else 1]),
        339: (_SHORT, [_SAMPLE_FORMATS[array.dtype.kind]] * count),
    }
    if extra:
        entries[338] = (_SHORT, extra)
    if tile:
        entries |= {322: (_LONG, [tile]), 323: (_LONG, [tile])}
    else:
        entries[278] = (_LONG, [rows or height])
    entries[324 if tile else 273] = (_LONG, starts[:-1])
    entries[325 if tile else 279] = (_LONG, [len(part) for part in data])
    return b"".join([_header(order, starts[-1]), *data, _directory(order, entries, starts[-1])])


def _cut(part: NDArray[Any], rows: int, tile: int | None) -> list[bytes]:
    height, width = part.shape[:2]
    if tile is None:
        return [part[start : start + rows].tobytes() for start in range(0, height, rows)]
    padded = np.pad(part, ((0, -height % tile), (0, -width % tile), (0, 0)))
    corners = [(y, x) for y in range(0, height, tile) for x in range(0, width, tile)]
    return [padded[y : y + tile, x : x + tile].tobytes() for y, x in corners]


def _header(order: str, directory: int) -> bytes:
    return struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, directory)


def _directory(order: str, entries: dict[int, tuple[int, Sequence[int]]], start: int) -> bytes:
    after = start + 2 + 12 * len(entries) + 4
    directory, blob = struct.pack(order + "H", len(entries)), b""
    for tag, (kind, values) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == _SHORT else 'I'}", *values)
        if len(packed) > 4:
            blob, packed = blob + packed, struct.pack(order + "I", after + len(blob))
        directory += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    return directory + bytes(4) + blob
