"""File locks, which the operating system releases when the process ends."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

from masklet.errors import StateError


class LockingUnsupported(OSError):
    """The file system or this Python has no locks."""


class Lock:
    """The lock at `path`, held until `release` or the end of a `with` block.

    Args:
        path: The file that is locked. It is made if missing, names the process that holds it, and stays.
        wait: Wait while another process holds the lock, on Windows for at most ten seconds.

    Raises:
        StateError: `job-locked`. Another process holds the lock.
        LockingUnsupported: The file system or this Python has no locks.
        OSError: The file cannot be opened or written.
    """

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _try_lock(self._descriptor, wait=wait):
                holder = os.read(self._descriptor, 300).decode("utf-8", "replace").strip() or "another process"
                message = f"{path.parent} is in use by {holder}; wait for it to finish, or choose another folder"
                raise StateError("job-locked", message, holder=holder)
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        except BaseException:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Release the lock. The file stays, since another process may have locked it already."""
        os.close(self._descriptor)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


def _try_lock(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file. Return False if another process holds the lock."""
    try:
        _lock(descriptor, wait=wait)
    except ImportError as cause:
        raise LockingUnsupported(errno.ENOSYS, f"this Python cannot lock files, it has no {cause.name}") from cause
    except OSError as cause:
        if cause.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise LockingUnsupported(cause.errno, cause.strerror) from cause
        return False
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
    return True


def _lock(descriptor: int, *, wait: bool) -> None:
    """Lock an open file. Raises `OSError`, and `ImportError` where Python lacks the module for it."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # beyond the text, which stays readable
        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
