"""A file that nothing may open, and the notice of whether it was opened."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from pathlib import Path

_NONBLOCK = 0o4000
_ACCESS_OR_OPEN = 0x1 | 0x20


class Canary:
    """A file that is watched with Linux's inotify; elsewhere nothing is noticed.

    Args:
        path: The file, which is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(b"secret")
        self._descriptor = -1
        if sys.platform == "linux":
            library = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
            self._descriptor = library.inotify_init1(_NONBLOCK)
            library.inotify_add_watch(self._descriptor, os.fsencode(path), _ACCESS_OR_OPEN)

    @property
    def is_watched(self) -> bool:
        """Whether this system reports accesses."""
        return self._descriptor >= 0

    def was_opened(self) -> bool:
        """Return whether the file was opened since the last call."""
        try:
            return self.is_watched and bool(os.read(self._descriptor, 4096))
        except BlockingIOError:
            return False
