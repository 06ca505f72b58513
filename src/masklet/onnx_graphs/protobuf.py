"""The part of the protocol buffer format that ONNX files are written in."""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = int | memoryview


def number(field: int, value: int) -> bytes:
    """A whole number as a field."""
    return _varint(field << 3 | VARINT) + _varint(value)


def real(field: int, value: float) -> bytes:
    """A float32 as a field."""
    return _varint(field << 3 | FIXED32) + struct.pack("<f", value)


def data(field: int, value: bytes | str) -> bytes:
    """Bytes, a text or a message as a field."""
    content = value.encode() if isinstance(value, str) else value
    return opening(field, len(content)) + content


def opening(field: int, length: int) -> bytes:
    """What stands before so many bytes of a field."""
    return _varint(field << 3 | BYTES) + _varint(length)


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """The fields of a message: numbers as they are, everything else as a view of its bytes.

    Raises `ValueError` where the message does not hold together.
    """
    place = 0
    while place < len(message):
        key, place = _read_varint(message, place)
        kind = key & 7
        if kind == VARINT:
            value, place = _read_varint(message, place)
            yield key >> 3, value
            continue
        if kind == BYTES:
            length, place = _read_varint(message, place)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
        if place + length > len(message):
            raise ValueError("a field reaches over the end")
        yield key >> 3, message[place : place + length]
        place += length


def varints(packed: memoryview) -> Iterator[int]:
    """The whole numbers in a packed field. Raises `ValueError` as `fields`."""
    place = 0
    while place < len(packed):
        value, place = _read_varint(packed, place)
        yield value


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are written in two's complement
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _read_varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        group = message[place]
        place += 1
        value |= (group & 127) << shift
        if group < 128:
            return value, place
    raise ValueError("a number without end")
