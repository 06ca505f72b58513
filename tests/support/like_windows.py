"""Windows, simulated: what Python lacks there is removed, and what only Windows has is replaced.

`python like_windows.py ARGUMENT…` runs `masklet ARGUMENT…` in such a Python, with `GrayWorld` in place of a network.
The libraries are imported before the simulation begins, so that only masklet sees it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
from types import ModuleType

MISSING_MODULES = ("fcntl", "grp", "pwd", "resource", "termios", "tty")
MISSING_SIGNALS = ("SIGALRM", "SIGHUP", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2")
MISSING_FUNCTIONS = ("fork", "geteuid", "getuid", "mkfifo", "sched_getaffinity", "setpriority", "statvfs", "sysconf")


class Msvcrt(ModuleType):
    """Locks of bytes, as `msvcrt` has them: others cannot read what is locked, and a lock ends with its descriptor."""

    LK_LOCK, LK_NBLCK = 1, 2

    def __init__(self) -> None:
        super().__init__("msvcrt")

    def locking(self, descriptor: int, mode: int, count: int) -> None:
        """Lock `count` bytes at the position of the file. Raises `OSError` if another descriptor holds the lock."""
        assert mode in (self.LK_LOCK, self.LK_NBLCK) and count == 1
        assert os.lseek(descriptor, 0, os.SEEK_CUR) >= os.fstat(descriptor).st_size, "the text must stay readable"
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:  # LK_LOCK gives up after ten seconds
            number = errno.EDEADLK if mode == self.LK_LOCK else errno.EACCES
            raise OSError(number, os.strerror(number)) from cause


def simulate_windows() -> None:
    """Turn this process into one that looks to masklet as if it ran on Windows."""
    for name in MISSING_MODULES:
        sys.modules[name] = None  # type: ignore[assignment] # importing it raises ModuleNotFoundError
    for name in MISSING_SIGNALS:
        delattr(signal, name)
    for name in MISSING_FUNCTIONS:
        delattr(os, name)
    sys.modules["msvcrt"] = Msvcrt()
    sys.platform = "win32"


def main() -> int:
    """Run the command line like on Windows, and return its exit status."""
    import asyncio
    import logging.handlers
    import subprocess
    import sysconfig
    import tempfile
    import webbrowser

    import av
    import cv2
    import numpy as np
    import PIL.Image
    import rich.progress
    import typer.rich_utils

    assert all((asyncio, logging.handlers, subprocess, tempfile, webbrowser, av, cv2, np, PIL.Image))
    assert all((rich.progress, typer.rich_utils))
    sysconfig.get_config_vars()  # it reads a file that is named after the platform
    simulate_windows()

    from masklet.cli import options
    from masklet.cli.main import main as run_masklet
    from masklet.segmenter import Segmenter
    from support.gray_world import GrayWorld

    options.ModelOptions.load = lambda self: Segmenter(GrayWorld())  # type: ignore[method-assign]
    return run_masklet()


if __name__ == "__main__":
    sys.exit(main())
