"""TensorBoard event files: records of length, checksum, message, checksum."""

from __future__ import annotations

import struct
from pathlib import Path

from masklet.train.tensorboard import EventFile, compute_crc32c


def read_records(path: Path) -> list[bytes]:
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        for start, end in ((0, 8), (12, 12 + length)):
            (stored,) = struct.unpack("<I", data[end : end + 4])
            value = compute_crc32c(data[start:end])
            assert stored == ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
        found.append(data[12 : 12 + length])
        data = data[16 + length :]
    return found


def test_the_checksum_is_crc_32c() -> None:
    assert compute_crc32c(b"123456789") == 0xE3069283  # the check value of the algorithm's definition


def test_scalars_are_written_as_protocol_buffers(tmp_path: Path) -> None:
    EventFile(tmp_path).add_scalars(300, {"loss": 0.5})
    version, event = read_records(next(tmp_path.iterdir()))
    assert version.endswith(b"\x1a\x0dbrain.Event:2")
    # step 300 as a varint, then summary { value { tag: "loss" simple_value: 0.5 } }
    assert event[9:] == b"\x10\xac\x02" + b"\x2a\x0d\x0a\x0b\x0a\x04loss\x15" + struct.pack("<f", 0.5)
