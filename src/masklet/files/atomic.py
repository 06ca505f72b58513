"""Write a file whole or not at all: beside its place first, then moved there in one step."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from masklet.errors import ResourceError
from masklet.files.translate import translate_errors, translate_write_errors

_PART = ".masklet-{}.part"


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A binary handle whose bytes appear at `path` when the block ends, and never when it fails.

    What was at `path` stays until then; a symbolic link is followed. The bytes are on the disk before they get their
    name, so a kill or a power cut leaves the old file or the new one. Faults of the file raise `ResourceError`:
    `disk-full`, `output-unwritable` (folder missing, no permission, not a file) or `output-failed`. Whatever else the
    block raises passes through, an `OSError` of the network too.
    """
    with translate_write_errors(path):
        target = _target(path)
    part = target.with_name(_PART.format(secrets.token_hex(8)))
    with translate_write_errors(target):
        output = _Output(part, target)
    try:
        handle = io.BufferedWriter(output)
        yield handle
        handle.close()
        with translate_write_errors(target):
            move_into_place(part, target)
    except BaseException:
        with contextlib.suppress(OSError):
            output.close()
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def remove_partial_files(folder: Path) -> None:
    """Remove what killed processes left unfinished in `folder`; nobody may be writing there."""
    for part in folder.glob(_PART.format("*")):
        with contextlib.suppress(OSError):
            part.unlink()


class _Output(io.FileIO):
    """A new file that explains why it cannot be written."""

    def __init__(self, part: Path, target: Path) -> None:
        super().__init__(part, "xb")
        self._target = target

    def write(self, data: Any) -> int:
        """Writes and returns the number of bytes written; a fault raises `ResourceError`."""
        with translate_write_errors(self._target, memoryview(data).nbytes):
            return super().write(data)

    def fileno(self) -> int:
        """Not offered: libraries that write past `write` lose the reason of a fault."""
        raise io.UnsupportedOperation("fileno")


def _target(path: Path) -> Path:
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise ResourceError("output-unwritable", f"{path}: the folder {target.parent} does not exist; create it first")
    if target.exists() and not target.is_file():
        kind = "a folder" if target.is_dir() else "not a regular file"
        raise ResourceError("output-unwritable", f"{path} is {kind}; name a file to write")
    return target


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there. Raises `ResourceError` (`output-unwritable`)."""
    with translate_errors(OSError, into=lambda cause: _folder_error(folder, cause)):
        folder.mkdir(parents=True, exist_ok=True)


def _folder_error(folder: Path, cause: OSError) -> ResourceError:
    return ResourceError("output-unwritable", f"{folder} cannot be made: {cause.strerror}; choose another")


def move_into_place(part: Path, target: Path) -> None:
    """Give a finished file its name, in place of what has it. Its bytes are on the disk before. Raises `OSError`."""
    _sync(part)
    part.replace(target)
    sync_folder(target.parent)


def _sync(part: Path) -> None:
    descriptor = os.open(part, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Makes the new name last; the file is in place already, so a file system that cannot do it is left alone."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
