"""Disk cache of a tracker: memories and results of distant frames, so that memory stays constant."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from typing import Any, BinaryIO, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

MAX_CACHE_BYTES = 4 << 30  # about 5,000 frames of one object at an input size of 1024, 20,000 at 512
Arrays = list[NDArray[Any]]
Key = tuple[Hashable, int]
Value = TypeVar("Value")


class _Layout(NamedTuple):
    parts: tuple[tuple[str, tuple[int, ...]], ...]  # dtype and shape of each array
    nbytes: int


class _Entry(NamedTuple):
    offset: int
    layout: _Layout


class DiskCache:
    """Cache of lists of arrays, by name and frame, in one temporary file that is removed with the object.

    Beyond `max_bytes`, or when the disk is full, the oldest entries are dropped.

    Args:
        max_bytes: The largest size of the file. With 0 nothing is stored.

    Example:
        >>> tracker = Tracker(model.backend, disk_cache=DiskCache(1 << 30))
    """

    def __init__(self, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._entries: dict[Key, _Entry] = {}
        self._layouts: dict[_Layout, _Layout] = {}  # most entries have the same one, which is stored once
        self._free: dict[int, list[int]] = {}  # offsets of dropped entries by size
        self._end = 0
        self._file: BinaryIO | None = None

    def __repr__(self) -> str:
        return f"DiskCache({len(self._entries)} entries, {self.nbytes} of {self._max_bytes} bytes)"

    @property
    def nbytes(self) -> int:
        """Size of the file in bytes."""
        return self._end

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._entries))

    def put(self, key: Key, arrays: Arrays) -> None:
        """Store arrays under a key and replace what it had. They are dropped if there is no room for them."""
        self.drop(key)
        data = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
        layout = _Layout(tuple((array.dtype.str, array.shape) for array in arrays), len(data))
        offset = self._allocate(len(data))
        if offset is not None and self._write(offset, data):
            self._entries[key] = _Entry(offset, self._layouts.setdefault(layout, layout))

    def get(self, key: Key) -> Arrays:
        """Return the arrays of a key. Raises `KeyError`."""
        offset, layout = self._entries[key]
        assert self._file is not None, "a stored entry has a file"
        self._file.seek(offset)
        data, start, arrays = bytearray(self._file.read(layout.nbytes)), 0, []
        for dtype, shape in layout.parts:
            count = int(np.prod(shape, dtype=np.int64))
            arrays.append(np.frombuffer(data, dtype, count, start).reshape(shape))
            start += count * np.dtype(dtype).itemsize
        return arrays

    def drop(self, key: Key) -> None:
        """Drop the arrays of a key, if it has any."""
        if entry := self._entries.pop(key, None):
            self._free.setdefault(entry.layout.nbytes, []).append(entry.offset)

    def _allocate(self, nbytes: int) -> int | None:
        """Return a free offset, after dropping old entries if necessary; None if there is still not enough room."""
        while not self._free.get(nbytes):
            if self._end + nbytes <= self._max_bytes:
                self._end += nbytes
                return self._end - nbytes
            if not self._entries:
                return None
            self.drop(next(iter(self._entries)))
        return self._free[nbytes].pop()

    def _write(self, offset: int, data: bytes) -> bool:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="masklet-")  # noqa: SIM115 - lives as long as this object
            self._file.seek(offset)
            self._file.write(data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._max_bytes = offset  # the disk is full: later entries replace old ones
            return False
        return True


class SpilledDict(MutableMapping[int, Value], Generic[Value]):
    """Values by frame, some in memory and some in a disk cache, from which they are loaded when they are read.

    Args:
        disk_cache: The cache, which may be shared.
        name: Part of the keys in the cache.
        pack: Converts a value to arrays.
        unpack: Converts arrays to a value.
    """

    def __init__(
        self,
        disk_cache: DiskCache,
        name: Hashable,
        pack: Callable[[Value], Arrays],
        unpack: Callable[[Arrays], Value],
    ) -> None:
        self.in_memory: dict[int, Value] = {}
        self.pack, self.unpack = pack, unpack
        self._cache, self._name = disk_cache, (name, object())  # two trackers may have objects with the same id
        self._spilled: set[int] = set()  # frames in the cache, and some that it dropped

    def spill(self, frame: int) -> None:
        """Move the value of a frame to the disk cache."""
        self.spill_packed(frame, self.get_packed(frame))

    def replace(self, frame: int, value: Value) -> None:
        """Replace the value of a frame where it is, in memory or in the disk cache."""
        if frame in self.in_memory:
            self.in_memory[frame] = value
        else:
            self.spill_packed(frame, self.pack(value))

    def spill_packed(self, frame: int, arrays: Arrays) -> None:
        """Store the packed value of a frame in the disk cache."""
        self.in_memory.pop(frame, None)
        self._spilled.add(frame)
        self._cache.put((self._name, frame), arrays)

    def get_packed(self, frame: int) -> Arrays:
        """Return the value of a frame as arrays, from memory or from the disk cache. Raises `KeyError`."""
        if frame in self.in_memory:
            return self.pack(self.in_memory[frame])
        return self._cache.get((self._name, frame))

    def __getitem__(self, frame: int) -> Value:
        return self.in_memory[frame] if frame in self.in_memory else self.unpack(self.get_packed(frame))

    def __setitem__(self, frame: int, value: Value) -> None:
        self._cache.drop((self._name, frame))
        self.in_memory[frame] = value

    def __delitem__(self, frame: int) -> None:
        if frame not in self:
            raise KeyError(frame)
        self.in_memory.pop(frame, None)
        self._cache.drop((self._name, frame))

    def clear(self) -> None:
        """Drop all values."""
        for frame in self:
            del self[frame]

    def __contains__(self, frame: object) -> bool:
        return frame in self.in_memory or (self._name, frame) in self._cache

    def __iter__(self) -> Iterator[int]:
        self._spilled = {frame for frame in self._spilled if (self._name, frame) in self._cache}
        return iter(sorted(self._spilled | self.in_memory.keys()))

    def __len__(self) -> int:
        return sum(1 for _ in self)
