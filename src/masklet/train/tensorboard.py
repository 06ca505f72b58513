"""TensorBoard event files: scalars as protocol buffers in records with checksums."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path

from masklet.onnx_graphs.protobuf import encode_bytes, encode_double, encode_float, encode_int

_POLYNOMIAL = 0x82F63B78  # of CRC-32C, reflected
# Field numbers of the messages Event, Summary and Summary.Value.
_WALL_TIME, _STEP, _FILE_VERSION, _SUMMARY = 1, 2, 3, 5
_VALUE = 1
_TAG, _SIMPLE_VALUE = 1, 2


class EventFile:
    """A new event file in a folder. TensorBoard joins it with earlier files of the same run."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"events.out.tfevents.{time.time_ns()}.masklet"
        self._append(encode_double(_WALL_TIME, time.time()) + encode_bytes(_FILE_VERSION, b"brain.Event:2"))

    def add_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write scalars by name for a step."""
        values = [
            encode_bytes(_VALUE, encode_bytes(_TAG, name) + encode_float(_SIMPLE_VALUE, value))
            for name, value in scalars.items()
        ]
        event = encode_double(_WALL_TIME, time.time()) + encode_int(_STEP, step)
        self._append(event + encode_bytes(_SUMMARY, b"".join(values)))

    def _append(self, event: bytes) -> None:
        length = struct.pack("<Q", len(event))
        with self.path.open("ab") as file:
            file.write(length + _encode_checksum(length) + event + _encode_checksum(event))


def compute_crc32c(data: bytes) -> int:
    """Compute the CRC-32C (Castagnoli) checksum."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _compute_entry(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
    return value


_TABLE = [_compute_entry(byte) for byte in range(256)]


def _encode_checksum(data: bytes) -> bytes:
    """Encode a checksum as the record format does: rotated, plus a constant."""
    value = compute_crc32c(data)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)
