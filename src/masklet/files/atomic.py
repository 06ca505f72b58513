"""Write a file whole or not at all: beside its place first, then moved there in one step."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from masklet.errors import ResourceError

_PART = ".masklet-{}.part"


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """A binary handle whose bytes appear at `path` when the block ends, and never when it fails.

    What was at `path` stays until then; a symbolic link is followed. The bytes are on the disk before they get their
    name, so a kill or a power cut leaves the old file or the new one. Faults of the file raise `ResourceError`:
    `disk-full`, `output-unwritable` (folder missing, no permission, not a file) or `output-failed`. Whatever else the
    block raises passes through, an `OSError` of the network too.
    """
    target = _target(path)
    part = target.with_name(_PART.format(secrets.token_hex(8)))
    with explained(target):
        output = _Output(part, target)
    try:
        handle = io.BufferedWriter(output)
        yield handle
        handle.close()
        with explained(target):
            _sync(part)
            part.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            output.close()
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    sync_folder(target.parent)


@contextmanager
def explained(target: Path, needed: int = 0) -> Iterator[None]:
    """Turns an `OSError` of writing `target` into a `ResourceError`; `needed` are the bytes that were to be written."""
    try:
        yield
    except ResourceError:
        raise
    except OSError as cause:
        raise _explanation(target, cause, needed) from cause


def remove_leftovers(folder: Path) -> None:
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
        with explained(self._target, memoryview(data).nbytes):
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


def _explanation(target: Path, cause: OSError, needed: int) -> ResourceError:
    if cause.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(next(folder for folder in target.parents if folder.exists())).free
        missing = f"{needed} more bytes are needed, " if needed else ""
        message = f"{target}: the disk is full, {missing}{free} bytes are free; free some space and run it again"
        return ResourceError("disk-full", message, needed=needed, free=free)
    reason = cause.strerror or str(cause)
    if cause.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP):
        return ResourceError("output-unwritable", f"{target} cannot be written: {reason}; choose another place")
    return ResourceError("output-failed", f"{target}: writing failed: {reason}; check the disk and run it again")


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
