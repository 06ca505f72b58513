"""One process at a time: a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

from masklet.errors import StateError


class Lock:
    """The lock at `path`, held until `release`. Raises `StateError` (`job-locked`) while another process holds it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _taken(self._descriptor):
                holder = os.read(self._descriptor, 300).decode("utf-8", "replace").strip() or "another process"
                message = f"{path.parent} is being worked on by {holder}; wait for it, or choose another place"
                raise StateError("job-locked", message, holder=holder)
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        except BaseException:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Let go; the file stays, since removing it could remove another's lock."""
        os.close(self._descriptor)


def _taken(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # beyond the text, which others read
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as cause:
        if cause.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise
        return False
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
    return True
