"""Open the file that a user named, if it is one that can be read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from masklet.errors import InputNotFound
from masklet.files.translate import translate_read_errors

_WAITLESS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def open_input(path: str | os.PathLike[str]) -> BinaryIO:
    """The file at `path`, open for reading.

    Raises `InputNotFound`: `input-not-found`, `input-unreadable` for folders, named pipes, devices, sockets and what
    may not be read (none of these is opened), `input-empty` for a file of no bytes.
    """
    path = Path(path)
    with translate_read_errors(path):
        _refuse_odd(path, path.stat().st_mode)
        # A pipe that takes the file's place in this moment must not block either.
        handle = open(os.open(path, os.O_RDONLY | _WAITLESS), "rb")  # noqa: PTH123, SIM115 - the caller closes it
        status = os.fstat(handle.fileno())
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            handle.close()
            _refuse_odd(path, status.st_mode)
            raise InputNotFound("input-empty", f"{path} is empty; it holds no bytes at all", path=str(path))
        return handle


def require_input(path: str | os.PathLike[str]) -> Path:
    """The path of a file or a folder that exists. Raises `InputNotFound` (`input-not-found`, `input-unreadable`)."""
    path = Path(path)
    with translate_read_errors(path):
        path.stat()
    return path


def _refuse_odd(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kinds = [(stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket")]
        kind = next((name for claim, name in kinds if claim(mode)), "a device")
        raise InputNotFound("input-unreadable", f"{path} is {kind}; name a regular file", path=str(path))
