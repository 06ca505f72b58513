"""Error translation: exceptions of the system and of libraries become errors of masklet."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from masklet.errors import InputNotFound, MaskletError, ResourceError

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNWRITABLE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
    | {errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO, errno.ENODEV}
)


@contextmanager
def translate_errors(*kinds: type[BaseException], into: Callable[[Any], BaseException]) -> Iterator[None]:
    """Translate exceptions of the block.

    Args:
        kinds: Classes of exceptions to translate. Errors of masklet are translated only if their own class is listed.
        into: Makes the new exception from the original one, which becomes its cause, or returns the original one to
            leave it as it is.
    """
    try:
        yield
    except kinds as cause:
        if isinstance(cause, MaskletError) and type(cause) not in kinds:
            raise
        error = into(cause)
        if error is cause:
            raise
        raise error from cause


def translate_read_errors(path: str | os.PathLike[str]) -> AbstractContextManager[None]:
    """Translate an `OSError` of reading `path` into `InputNotFound` (`input-not-found`, `input-unreadable`).

    A `ValueError` is translated too: Python raises it for a NUL character in a name.
    """
    return translate_errors(OSError, ValueError, into=lambda cause: _read_error(Path(path), cause))


def translate_write_errors(
    path: Path, needed: int = 0, *, hint: str = "", other: str = "output-failed"
) -> AbstractContextManager[None]:
    """Translate an `OSError` of writing `path` into `ResourceError`.

    Args:
        path: The file or folder that is written.
        needed: Number of bytes that should have been written; 0 if unknown.
        hint: The hint of the error.
        other: The code of errors that are neither a full disk nor a missing folder or permission.

    Raises:
        ResourceError: `disk-full`, `output-unwritable` or `other`.
    """
    return translate_errors(OSError, into=lambda cause: _write_error(path, cause, needed, hint, other))


def _read_error(path: Path, cause: OSError | ValueError) -> InputNotFound:
    if isinstance(cause, FileNotFoundError | NotADirectoryError):
        return InputNotFound("input-not-found", f"{path} does not exist{_suggest_download(path)}", path=str(path))
    return InputNotFound("input-unreadable", f"{path} cannot be read: {_reason(cause)}", path=str(path))


def _suggest_download(path: Path) -> str:
    scheme = path.parts[0] if path.parts else ""
    return "; web addresses cannot be read, download it first" if scheme in {"http:", "https:"} else ""


def _write_error(path: Path, cause: OSError, needed: int, hint: str, other: str) -> ResourceError:
    if cause.errno in _DISK_FULL:
        folder = next(folder for folder in path.absolute().parents if os.access(folder, os.F_OK))
        if _has_no_inodes(folder):
            message = f"{path}: no more files can be made on the disk; remove some files and run it again"
            return ResourceError("disk-full", message, hint=hint, needed=needed)
        free = shutil.disk_usage(folder).free
        missing = f"{needed} more bytes are needed, " if needed else ""
        message = f"{path}: the disk is full, {missing}{free} bytes are free; free some space and run it again"
        return ResourceError("disk-full", message, hint=hint, needed=needed, free=free)
    code = "output-unwritable" if cause.errno in _UNWRITABLE else other
    if code == "output-unwritable":
        message = f"{path} cannot be written: {_reason(cause)}; choose another place"
    else:
        message = f"{path}: writing failed: {_reason(cause)}; check the disk and run it again"
    return ResourceError(code, message, hint=hint)


def _has_no_inodes(folder: Path) -> bool:
    """Return whether a file system has reached its number of files; False where it has no limit."""
    if not hasattr(os, "statvfs"):
        return False
    status = os.statvfs(folder)
    return status.f_files > 0 and status.f_favail == 0


def _reason(cause: OSError | ValueError) -> str:
    return getattr(cause, "strerror", None) or str(cause)
