"""Truncation of image files, detected from the end that each format defines."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

_TAIL_BYTES = 4096  # searched for an end marker, after which some cameras and servers append data
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325  # TIFF tags


def is_truncated(handle: BinaryIO, kind: str) -> bool:
    """Return whether a file of type `kind` ("JPEG", "PNG", "WebP", "TIFF" or "BMP") ends too early."""
    size = handle.seek(0, io.SEEK_END)
    handle.seek(0)
    head = handle.read(64)
    if kind in {"JPEG", "PNG"}:
        handle.seek(max(0, size - _TAIL_BYTES))
        return (b"\xff\xd9" if kind == "JPEG" else b"IEND") not in handle.read()
    if kind == "WebP":
        return len(head) < 8 or struct.unpack_from("<I", head, 4)[0] + 8 > size
    if kind == "BMP":
        return _find_bmp_end(head) > size
    try:
        return _find_tiff_end(handle, head) > size
    except struct.error:  # the directory itself is truncated
        return True


def _find_bmp_end(head: bytes) -> int:
    """Compute the end of the pixels of an uncompressed BMP, in bytes from its beginning."""
    if len(head) < 54:
        return 54
    pixels, header = struct.unpack_from("<2I", head, 10)
    if header == 12:  # BITMAPCOREHEADER
        width, height, _, bits = struct.unpack_from("<4H", head, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<2i2HI", head, 18)
    return int(pixels + (0 if compression in {1, 2} else (width * bits + 31) // 32 * 4 * abs(height)))


def _find_tiff_end(handle: BinaryIO, head: bytes) -> int:
    """Compute the end of the last strip or tile of the first image. Raises `struct.error` if that cannot be read."""
    order = "<" if head.startswith(b"II") else ">"
    if head[2:4] in {b"+\0", b"\0+"}:
        return 0  # truncation of BigTIFF is not detected
    handle.seek(struct.unpack_from(order + "I", head, 4)[0])
    entries: dict[int, list[int]] = {}
    for _ in range(struct.unpack(order + "H", handle.read(2))[0]):
        tag, type_code, count, value = struct.unpack(order + "HHI4s", handle.read(12))
        if tag in {_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES}:
            entries[tag] = _read_numbers(handle, order, type_code, count, value)
    starts = entries.get(_STRIPS, entries.get(_TILES, []))
    lengths = entries.get(_STRIP_BYTES, entries.get(_TILE_BYTES, []))
    return max((start + length for start, length in zip(starts, lengths, strict=False)), default=0)


def _read_numbers(handle: BinaryIO, order: str, type_code: int, count: int, value: bytes) -> list[int]:
    """Read the whole numbers of a directory entry, from `value` itself or from the offset in it."""
    code, width = ("H", 2) if type_code == 3 else ("I", 4)
    if count * width > 4:
        position = handle.tell()
        handle.seek(struct.unpack(order + "I", value)[0])
        value = handle.read(count * width) if count < 1 << 20 else b""
        handle.seek(position)
    return list(struct.unpack_from(f"{order}{count}{code}", value))
