"""Scans of JPEG files. A progressive file may repeat a scan, so that a small file takes minutes to decode."""

from __future__ import annotations

import re
from typing import Any

_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # neither data, which is FF 00, nor a restart
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN, _TEMPORARY = 0xD8, 0xD9, 0xDA, 0x01
_FREE_SCANS = 20  # encoders write up to about 12 scans
_MAX_PIXELS = 10**9  # of all scans together, about 1 s


def has_excessive_scans(handle: Any, size: tuple[int, int]) -> bool:
    """Return whether the scans of a JPEG would take too long to decode.

    Args:
        handle: The open file. Its position is kept.
        size: (width, height) of the image.
    """
    position = handle.tell()
    handle.seek(0)
    count = count_scans(handle.read())
    handle.seek(position)
    return count > _FREE_SCANS and count * size[0] * size[1] > _MAX_PIXELS


def count_scans(data: bytes) -> int:
    """Count the scans of the first image in a JPEG file, without those of previews in its metadata."""
    position, count = 0, 0
    while (match := _MARKER.search(data, position)) is not None:
        marker, position = match[1][0], match.end()
        if marker == _END_OF_IMAGE:
            break
        if marker in {_START_OF_IMAGE, _TEMPORARY}:
            continue
        count += marker == _START_OF_SCAN
        position += int.from_bytes(data[position : position + 2], "big")
    return count
