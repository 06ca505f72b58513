"""What a correction far in the past may need, put away on disk so that memory stays constant."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Hashable, Iterable, Iterator, MutableMapping
from typing import Any, BinaryIO, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

BUDGET = 4 << 30  # bytes of disk; about 5,000 frames of one object at 1024, 20,000 at 512
Arrays = list[NDArray[Any]]
Key = tuple[Hashable, int]
Value = TypeVar("Value")


def numbers(values: Iterable[int]) -> NDArray[Any]:
    """Whole numbers as an array, to be put away beside others."""
    return np.array([*values], np.int64)


class _Form(NamedTuple):
    parts: tuple[tuple[str, tuple[int, ...]], ...]  # dtype and shape of each array
    nbytes: int


class _Place(NamedTuple):
    offset: int
    form: _Form


class DiskCache:
    """Lists of arrays by (name, frame) in one temporary file that disappears with the object.

    Beyond `budget` bytes, or when the disk is full, the oldest entries make room.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self._budget = budget
        self._places: dict[Key, _Place] = {}
        self._forms: dict[_Form, _Form] = {}  # entries are mostly alike: each form is kept once
        self._free: dict[int, list[int]] = {}  # offsets of dropped entries by size
        self._end = 0
        self._file: BinaryIO | None = None

    @property
    def nbytes(self) -> int:
        """The size of the file."""
        return self._end

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._places))

    def put(self, key: Key, arrays: Arrays) -> None:
        """Keep `arrays` under `key`, in place of what was there."""
        self.drop(key)
        data = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
        form = _Form(tuple((array.dtype.str, array.shape) for array in arrays), len(data))
        offset = self._room(len(data))
        if offset is not None and self._write(offset, data):
            self._places[key] = _Place(offset, self._forms.setdefault(form, form))

    def get(self, key: Key) -> Arrays:
        """The arrays under `key`; KeyError without."""
        offset, form = self._places[key]
        assert self._file is not None, "a kept entry has a file"
        self._file.seek(offset)
        data, start, arrays = bytearray(self._file.read(form.nbytes)), 0, []
        for dtype, shape in form.parts:
            count = int(np.prod(shape, dtype=np.int64))
            arrays.append(np.frombuffer(data, dtype, count, start).reshape(shape))
            start += count * np.dtype(dtype).itemsize
        return arrays

    def drop(self, key: Key) -> None:
        """Forget `key` if it is there."""
        if place := self._places.pop(key, None):
            self._free.setdefault(place.form.nbytes, []).append(place.offset)

    def _room(self, nbytes: int) -> int | None:
        """Where to write, making room if need be; None where nothing can make enough."""
        while not self._free.get(nbytes):
            if self._end + nbytes <= self._budget:
                self._end += nbytes
                return self._end - nbytes
            if not self._places:
                return None
            self.drop(next(iter(self._places)))
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
            self._budget = offset  # nothing more fits: from here on old entries make room
            return False
        return True


class SpilledDict(MutableMapping[int, Value], Generic[Value]):
    """Values by frame: those at hand, and those put away in a history, which look the same from outside."""

    def __init__(
        self,
        history: DiskCache,
        name: Hashable,
        pack: Callable[[Value], Arrays],
        unpack: Callable[[Arrays], Value],
    ) -> None:
        self.in_memory: dict[int, Value] = {}
        self.pack, self.unpack = pack, unpack
        self._history, self._name = history, name

    def spill(self, frame: int) -> None:
        """Move the value of `frame` to the history."""
        self.spill_packed(frame, self.get_packed(frame))

    def spill_packed(self, frame: int, arrays: Arrays) -> None:
        """Put a packed value straight into the history."""
        self.in_memory.pop(frame, None)
        self._history.put((self._name, frame), arrays)

    def get_packed(self, frame: int) -> Arrays:
        """The value of `frame` as arrays, wherever it is; KeyError without."""
        if frame in self.in_memory:
            return self.pack(self.in_memory[frame])
        return self._history.get((self._name, frame))

    def __getitem__(self, frame: int) -> Value:
        return self.in_memory[frame] if frame in self.in_memory else self.unpack(self.get_packed(frame))

    def __setitem__(self, frame: int, value: Value) -> None:
        self._history.drop((self._name, frame))
        self.in_memory[frame] = value

    def __delitem__(self, frame: int) -> None:
        if frame not in self:
            raise KeyError(frame)
        self.in_memory.pop(frame, None)
        self._history.drop((self._name, frame))

    def __contains__(self, frame: object) -> bool:
        return frame in self.in_memory or (self._name, frame) in self._history

    def __iter__(self) -> Iterator[int]:
        return iter(sorted({*self.in_memory, *(frame for name, frame in self._history if name == self._name)}))

    def __len__(self) -> int:
        return sum(1 for _ in self)
