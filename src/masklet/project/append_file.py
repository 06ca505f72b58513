"""Append-only file of JSON lines, which stays readable if the process is killed."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from masklet.errors import FormatError
from masklet.files.atomic import create_folder, sync_folder
from masklet.files.error_translation import translate_read_errors, translate_write_errors

_BLOCK_BYTES = 1 << 20
_NEWLINE = ord("\n")
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class AppendFile:
    """Lines of a file. The file is open only while it is read or written, so that a project may have many.

    Args:
        path: The file, which is made by the first `append`. An incomplete line at its end is not a line, and the next
            one replaces it.

    Raises:
        FormatError: `project-broken`. The file is a symbolic link.
        InputNotFound: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        refuse_link(path)
        self.path = path
        self._starts = array("q")
        self._end = 0
        self._is_dirty = False
        self._is_new = not path.exists()
        if not self._is_new:
            self._find_lines()

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the lines, without their ends."""
        return self.read_lines(range(len(self)))

    def read_lines(self, numbers: Iterable[int]) -> Iterator[bytes]:
        """Iterate over lines by their numbers, without their ends. Raises `InputNotFound`."""
        if not len(self):
            return
        with translate_read_errors(self.path), self.path.open("rb") as file:
            for number in numbers:
                start = self._starts[number]
                stop = self._starts[number + 1] if number + 1 < len(self) else self._end
                file.seek(start)
                yield file.read(stop - start)[:-1]

    def read_blocks(self, lines: int) -> Iterator[tuple[int, bytes]]:
        """Iterate over the file in blocks of so many lines, each with the number of its first line.

        Raises:
            InputNotFound: The file cannot be read.
        """
        if not len(self):
            return
        edges = [*self._starts[::lines], self._end]
        with translate_read_errors(self.path), self.path.open("rb") as file:
            for number, (start, stop) in enumerate(pairwise(edges)):
                yield number * lines, file.read(stop - start)

    def read(self, number: int) -> bytes:
        """Return a line without its end. Raises `InputNotFound`."""
        return next(self.read_lines([number]))

    def append(self, line: bytes, *, sync: bool = True) -> int:
        """Append a line and return its number. After an error the file is as before.

        Args:
            line: The line without its end.
            sync: Return when it is on the disk.

        Raises:
            ResourceError: The file cannot be written.
        """
        data = line + b"\n"
        with translate_write_errors(self.path, len(data)):
            if self._is_new:
                create_folder(self.path.parent)
            descriptor = os.open(self.path, _FLAGS, 0o666)
            try:
                self._write(descriptor, data, sync=sync)
            finally:
                os.close(descriptor)
            if self._is_new:
                sync_folder(self.path.parent)
        self._is_new, self._is_dirty = False, not sync
        self._starts.append(self._end)
        self._end += len(data)
        return len(self) - 1

    def sync(self) -> None:
        """Return when all lines are on the disk. Raises `ResourceError`."""
        if not self._is_dirty:
            return
        with translate_write_errors(self.path):
            descriptor = os.open(self.path, _FLAGS, 0o666)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._is_dirty = False

    def cut(self, count: int) -> None:
        """Remove all lines after the first `count` ones. Raises `ResourceError`."""
        if count >= len(self):
            return
        end = self._starts[count]
        with translate_write_errors(self.path):
            os.truncate(self.path, end)
        del self._starts[count:]
        self._end = end

    def _find_lines(self) -> None:
        position = 0
        with translate_read_errors(self.path), self.path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                ends = position + 1 + np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE)
                if len(ends):
                    self._starts.extend([self._end, *ends[:-1].tolist()])
                    self._end = int(ends[-1])
                position += len(block)

    def _write(self, descriptor: int, data: bytes, *, sync: bool) -> None:
        try:
            os.ftruncate(descriptor, self._end)  # without what a killed process left
            os.lseek(descriptor, self._end, os.SEEK_SET)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            if sync:
                os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, self._end)
            raise


def refuse_link(path: Path) -> None:
    """Raise `FormatError` (`project-broken`) for a symbolic link.

    Projects come from elsewhere, such as a Git repository, and writing through a link could change any file of the
    user.
    """
    if path.is_symlink():
        message = f"{path} is a link, and a project has its own files; put the file in its place if you know it"
        raise FormatError("project-broken", message, path=str(path))
