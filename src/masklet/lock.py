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
            _take(self._descriptor)
        except OSError as cause:
            holder = os.read(self._descriptor, 300).decode("utf-8", "replace").strip() or "another process"
            os.close(self._descriptor)
            if cause.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                raise
            message = f"{path.parent} is being worked on by {holder}; wait for it, or choose another place"
            raise StateError("job-locked", message, holder=holder) from cause
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def release(self) -> None:
        """Let go; the file stays, since removing it could remove another's lock."""
        os.close(self._descriptor)


def _take(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # beyond the text, which others read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
