"""Input files: opened after a check that they are regular files with content."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

from masklet.errors import InputNotFound
from masklet.files.error_translation import translate_read_errors

_OPEN_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class _BoundedReader(io.BufferedReader):
    """A file that is read without more memory than it has bytes, whatever length its own fields state."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes, for which Python would allocate the memory first."""
        if size is not None and size > io.DEFAULT_BUFFER_SIZE:
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


def open_input(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading. Folders, named pipes, devices and sockets are never opened.

    Raises:
        InputNotFound: `input-not-found`, `input-unreadable` (not a regular file, or no permission) or `input-empty`.
    """
    path = Path(path)
    with translate_read_errors(path):
        _require_regular(path, path.stat().st_mode)
        # A named pipe that replaces the file between the two checks must not block the open.
        handle = _BoundedReader(io.FileIO(os.open(path, os.O_RDONLY | _OPEN_FLAGS)))
        status = os.fstat(handle.fileno())
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            handle.close()
            _require_regular(path, status.st_mode)
            raise InputNotFound("input-empty", f"{path} is empty; it holds no bytes", path=str(path))
        return handle


def require_input(path: str | os.PathLike[str]) -> Path:
    """Return the path of an existing file or folder. Raises `InputNotFound` (`input-not-found`, `input-unreadable`)."""
    path = Path(path)
    with translate_read_errors(path):
        path.stat()
    return path


def _require_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kinds = [(stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket")]
        kind = next((name for claim, name in kinds if claim(mode)), "a device")
        raise InputNotFound("input-unreadable", f"{path} is {kind}; name a regular file", path=str(path))
