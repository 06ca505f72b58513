"""Atomic writing of files: to a partial file in the same folder first, which is then renamed."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any, BinaryIO

from masklet.errors import ResourceError
from masklet.files.error_translation import translate_errors, translate_write_errors

_PARTIAL_NAME = ".masklet-{}.part"


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` when the block ends, and is removed when the block fails.

    The old file at `path` stays until then; a symbolic link is followed. The bytes are flushed to the disk before the
    file is renamed, so a killed process or a power cut leaves either the old file or the new one. Other exceptions of
    the block, such as an `OSError` of the network, are not translated.

    Args:
        path: The file to write.

    Yields:
        A binary handle without a file descriptor.

    Raises:
        ResourceError: `disk-full`, `output-unwritable` (missing folder, no permission, not a regular file) or
            `output-failed`.
    """
    with translate_write_errors(path):
        target = _resolve_target(path)
    part = target.with_name(_PARTIAL_NAME.format(secrets.token_hex(8)))
    output: _Output | None = None
    try:  # from before the file exists, since a signal may raise at any point
        with translate_write_errors(target):
            output = _Output(part, target)
        handle = io.BufferedWriter(output)
        yield handle
        handle.close()
        with translate_write_errors(target):
            move_into_place(part, target)
    except BaseException:
        with contextlib.suppress(OSError):
            if output:
                output.close()
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def atomic_link(source: Path, path: Path) -> bool:
    """Make `path` a hard link to a file. An old file at `path` stays until then.

    Returns:
        False if the file system cannot link them, such as files on two disks. Nothing is changed then.

    Raises:
        ResourceError: `output-unwritable` or `output-failed`. The link cannot be renamed to `path`.
    """
    with translate_write_errors(path):
        target = _resolve_target(path)
    if target.exists() and target.samefile(source):
        return True  # renaming one name of a file to another does nothing
    part = target.with_name(_PARTIAL_NAME.format(secrets.token_hex(8)))
    try:
        try:
            os.link(os.path.realpath(source), part)
        except (OSError, NotImplementedError):
            return False
        with translate_write_errors(target):
            _replace(part, target)
            sync_folder(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    return True


def remove_partial_files(folder: Path) -> None:
    """Remove the partial files in `folder` that killed processes left; no other process may be writing there."""
    for part in folder.glob(_PARTIAL_NAME.format("*")):
        with contextlib.suppress(OSError):
            part.unlink()


class _Output(io.FileIO):
    """A new file whose errors are translated to `ResourceError`."""

    def __init__(self, part: Path, target: Path) -> None:
        super().__init__(part, "xb")
        self._target = target

    def write(self, data: Any) -> int:
        """Write and return the number of bytes written. Raises `ResourceError`."""
        with translate_write_errors(self._target, memoryview(data).nbytes):
            return super().write(data)

    def fileno(self) -> int:
        """Refuse a descriptor: libraries that bypass `write` lose the reason of an error."""
        raise io.UnsupportedOperation("fileno")


def _resolve_target(path: Path) -> Path:
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise ResourceError("output-unwritable", f"{path}: the folder {target.parent} does not exist; create it first")
    if target.exists() and not target.is_file():
        kind = "a folder" if target.is_dir() else "not a regular file"
        raise ResourceError("output-unwritable", f"{path} is {kind}; name a file to write")
    return target


def make_folder(folder: Path) -> None:
    """Make a folder and its parents if missing. Raises `ResourceError` (`output-unwritable`)."""
    with translate_errors(OSError, into=lambda cause: _folder_error(folder, cause)):
        create_folder(folder)


def create_folder(folder: Path) -> None:
    """Make a folder and its parents if missing, and flush their names to the disk. Raises `OSError`."""
    missing = [*takewhile(lambda one: not one.exists(), (folder, *folder.parents))]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        sync_folder(one.parent)


def _folder_error(folder: Path, cause: OSError) -> ResourceError:
    return ResourceError("output-unwritable", f"{folder} cannot be made: {cause.strerror}; choose another folder")


def move_into_place(part: Path, target: Path) -> None:
    """Flush a finished file to the disk and rename it to `target`, which is replaced. Raises `OSError`."""
    _sync_file(part)
    _replace(part, target)
    sync_folder(target.parent)


def _replace(part: Path, target: Path) -> None:
    """Rename a file to `target`, which is replaced. Raises `OSError`."""
    try:
        part.replace(target)
    except PermissionError as cause:  # the folder is writable, since `part` was made in it
        if not target.is_file():
            raise
        message = f"{target} cannot be replaced: {cause.strerror}; close the program that has it open and run it again"
        raise ResourceError("output-unwritable", message) from cause


def _sync_file(part: Path) -> None:
    descriptor = os.open(part, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk; file systems that do not support it are ignored."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
