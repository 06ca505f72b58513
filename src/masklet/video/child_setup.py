"""Child setup: what a program that `start_child` starts does first."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import BinaryIO

_PARENT_POLL_INTERVAL_S = 1
_BASE_MEMORY_BYTES = 2 << 30  # for Python and FFmpeg
_MEMORY_BYTES_PER_PIXEL = 48  # for the 32 frames that FFmpeg may keep


def set_up_child(max_pixels: int) -> BinaryIO:
    """Limit the resources of this process, and end it when its parent ends.

    Args:
        max_pixels: The largest frame that it decodes.

    Returns:
        Its standard output, unbuffered. Libraries that write to standard output do not reach it.
    """
    output = _claim_output()
    _limit_resources(max_pixels)
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()
    return output


def _claim_output() -> BinaryIO:
    """Take standard output for responses, and discard the output of libraries."""
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    with open(os.devnull, "wb") as null:  # noqa: PTH123
        os.dup2(null.fileno(), 1)
    return output


def _limit_resources(max_pixels: int) -> None:
    """Ignore interrupts, which the parent handles, write no core files, and limit the memory by the frame size."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import resource

        memory = _BASE_MEMORY_BYTES + _MEMORY_BYTES_PER_PIXEL * max_pixels
        with contextlib.suppress(OSError, ValueError):  # the process has a lower limit already
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _exit_with_parent(parent: int) -> None:
    """End this process when its parent has ended, even if the decoder hangs and does not see its input end."""
    while os.getppid() == parent:
        time.sleep(_PARENT_POLL_INTERVAL_S)
    os._exit(1)
