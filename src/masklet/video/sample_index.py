"""Sample index: the packet index of an MP4 or QuickTime file from its tables, without reading the packets.

Reading every packet of a long video takes as long as reading its file. FFmpeg gives the decoding times of all packets
when it opens a file, and the file states how much later each frame is shown. The sum is compared with packets at
several places. If they differ, all packets are to be read.
"""

from __future__ import annotations

import io
import struct
from array import array
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.video.demuxer import Demuxer
from masklet.video.packet_index import PacketIndex

MIN_SAMPLES = 5000
"""Number of packets from which on it is worth it: a few minutes of video."""

_FILE_TYPES = ("an MP4 video", "a QuickTime video")
_MAX_TABLES_BYTES = 1 << 28
_KEY_FRAME, _DISCARDED = 1, 2  # flags of FFmpeg's index
_COMPARED = 48  # packets at each place
_PLACES = (0.0, 0.33, 0.66, 0.98)  # shares of the packets

Integers = NDArray[np.int64]


class _Samples(NamedTuple):
    """The packets of a stream in the order of the file, arrays (P,).

    Attributes:
        decoding_time: Time at which it is decoded.
        time: Time at which its frame is shown.
        is_key: Whether it is a key frame.
        is_shown: Whether its frame is shown; an edit list can hide it.
    """

    decoding_time: Integers
    time: Integers
    is_key: NDArray[np.bool_]
    is_shown: NDArray[np.bool_]


def index_samples(demuxer: Demuxer) -> PacketIndex | None:
    """Index the packets of a stream; None if they have to be read for that. The stream is to be restarted then."""
    is_invisible = demuxer.stream.codec_context.name in {"vp8", "libvpx"}  # some packets have no frame
    if demuxer.file_type not in _FILE_TYPES or demuxer.is_truncated or is_invisible:
        return None
    if demuxer.stream.frames < MIN_SAMPLES:
        return None
    samples = _read_samples(demuxer)
    if samples is None or not _match_packets(demuxer, samples):
        return None
    shown, key = samples.is_shown, samples.is_shown & samples.is_key
    times, order = np.sort(samples.time[shown]), np.argsort(samples.time[key], kind="stable")
    if (np.diff(samples.decoding_time[shown]) <= 0).any() or (np.diff(times) <= 0).any():
        return None
    return PacketIndex(
        array("q", times.tolist()),
        array("q", samples.time[key][order].tolist()),
        array("q", samples.decoding_time[key][order].tolist()),
        is_regular=True,
        packet_count=len(shown),
        is_damaged=False,
        end_time=int(times[-1]) + 1 if len(times) else 0,
    )


def _read_samples(demuxer: Demuxer) -> _Samples | None:
    """Read the tables of a stream; None if they are not simple."""
    entries = demuxer.stream.index_entries
    rows = np.array([(one.timestamp, one.flags, one.size, one.pos) for one in entries], np.int64).reshape(-1, 4)
    decoding_time, flags, sizes, positions = rows.T
    file_size = demuxer.handle.seek(0, io.SEEK_END)
    if not len(rows) or (sizes <= 0).any() or (positions + sizes > file_size).any():
        return None
    try:
        delays = _read_delays(demuxer.handle, demuxer.stream.id, len(rows))
    except (struct.error, ValueError, KeyError):
        return None
    if delays is None:
        return None
    demuxer.restart()  # FFmpeg shares the position in the file
    first = next(demuxer.packets(), None)
    if first is None or first.pts is None or first.dts != decoding_time[0]:
        return None
    shift = first.pts - int(decoding_time[0] + delays[0])
    return _Samples(decoding_time, decoding_time + delays + shift, flags & _KEY_FRAME > 0, flags & _DISCARDED == 0)


def _match_packets(demuxer: Demuxer, samples: _Samples) -> bool:
    """Return whether packets at several places of the file are as expected."""
    for share in _PLACES:
        start = int(share * (len(samples.time) - 1))
        if not demuxer.seek(int(samples.decoding_time[start])):
            return False
        packets = list(islice(demuxer.packets(), _COMPARED))
        if not packets or not all(_match(packet, samples) for packet in packets):
            return False
    return True


def _match(packet: Any, samples: _Samples) -> bool:
    if packet.dts is None or packet.is_corrupt:
        return False
    position = int(np.searchsorted(samples.decoding_time, packet.dts))
    if position >= len(samples.time):
        return False
    expected = [int(samples.decoding_time[position]), int(samples.time[position]), bool(samples.is_key[position])]
    is_shown = bool(samples.is_shown[position])
    return expected == [packet.dts, packet.pts, packet.is_keyframe] and is_shown == (not packet.is_discard)


def _read_delays(handle: BinaryIO, track: int, count: int) -> Integers | None:
    """Read how much later than it is decoded each frame of a track is shown.

    Returns:
        The delays; None if the file has fragments, or if the track does not have `count` packets, since an edit list
        repeats or removes some.

    Raises:
        struct.error: A table is cut off.
        ValueError: A table does not fit.
        KeyError: A table is missing.
    """
    movie = _read_movie(handle)
    if movie is None or any(name == b"mvex" for name, _ in _boxes(movie)):
        return None
    for name, content in _boxes(movie):
        if name != b"trak":
            continue
        parts = dict(_boxes(content))
        header = parts.get(b"tkhd", b"")
        if struct.unpack_from(">I", header, 20 if header[:1] == b"\1" else 12)[0] != track:
            continue
        tables = dict(_boxes(_descend(parts, b"mdia", b"minf", b"stbl")))
        if struct.unpack_from(">I", tables.get(b"stsz") or tables[b"stz2"], 8)[0] != count:
            return None
        if b"ctts" not in tables:
            return np.zeros(count, np.int64)
        (length,) = struct.unpack_from(">I", tables[b"ctts"], 4)
        runs = np.frombuffer(tables[b"ctts"], ">i4", 2 * length, 8).reshape(-1, 2).astype(np.int64)
        if (runs[:, 0] < 0).any() or runs[:, 0].sum() != count:
            return None
        return np.repeat(runs[:, 1], runs[:, 0])
    return None


def _read_movie(handle: BinaryIO) -> bytes | None:
    """Read the box with the tables."""
    size = handle.seek(0, io.SEEK_END)
    position = 0
    while position + 8 <= size:
        handle.seek(position)
        length, name = struct.unpack(">I4s", handle.read(8))
        start = 8
        if length == 1:
            (length,), start = struct.unpack(">Q", handle.read(8)), 16
        length = length or size - position
        if length < start:
            return None
        if name == b"moov":
            return handle.read(length - start) if length <= _MAX_TABLES_BYTES else None
        position += length
    return None


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield names and contents of the boxes in a box."""
    position = 0
    while position + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, position)
        if length < 8 or position + length > len(content):
            return
        yield name, content[position + 8 : position + length]
        position += length


def _descend(parts: dict[bytes, bytes], *names: bytes) -> bytes:
    """Return the content of nested boxes. Raises `KeyError` if one is missing."""
    content = b""
    for name in names:
        content = parts[name]
        parts = dict(_boxes(content))
    return content
