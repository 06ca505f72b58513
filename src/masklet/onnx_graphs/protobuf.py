"""Protocol buffers: the part of the wire format that ONNX files and TensorBoard's event files use."""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = int | memoryview


def encode_int(field: int, value: int) -> bytes:
    """Encode an integer field."""
    return _encode_varint(field << 3 | VARINT) + _encode_varint(value)


def encode_float(field: int, value: float) -> bytes:
    """Encode a float32 field."""
    return _encode_varint(field << 3 | FIXED32) + struct.pack("<f", value)


def encode_double(field: int, value: float) -> bytes:
    """Encode a float64 field."""
    return _encode_varint(field << 3 | FIXED64) + struct.pack("<d", value)


def encode_bytes(field: int, value: bytes | str) -> bytes:
    """Encode a field of bytes, a string or an embedded message."""
    content = value.encode() if isinstance(value, str) else value
    return encode_prefix(field, len(content)) + content


def encode_prefix(field: int, length: int) -> bytes:
    """Encode the key and the length that precede a field of `length` bytes."""
    return _encode_varint(field << 3 | BYTES) + _encode_varint(length)


def iter_fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Iterate over the fields of a message: integers as values, everything else as a view of its bytes.

    Raises:
        ValueError: The message is malformed.
    """
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        wire_type = key & 7
        if wire_type == VARINT:
            value, position = _read_varint(message, position)
            yield key >> 3, value
            continue
        if wire_type == BYTES:
            length, position = _read_varint(message, position)
        elif wire_type in (FIXED32, FIXED64):
            length = 4 if wire_type == FIXED32 else 8
        else:
            raise ValueError(f"unknown wire type {wire_type}")
        if position + length > len(message):
            raise ValueError("a field extends beyond the end of its message")
        yield key >> 3, message[position : position + length]
        position += length


def iter_varints(packed: memoryview) -> Iterator[int]:
    """Iterate over the integers of a packed field.

    Raises:
        ValueError: The field is malformed.
    """
    position = 0
    while position < len(packed):
        value, position = _read_varint(packed, position)
        yield value


def _encode_varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are encoded in two's complement
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            break
        group = message[position]
        position += 1
        value |= (group & 127) << shift
        if group < 128:
            return value, position
    raise ValueError("an integer does not end")
