"""Child process: a Python program that parses untrusted files, which is killed if it hangs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

_PIPE_BYTES = 1 << 20  # a larger pipe transfers a frame in fewer system calls
_MAX_WAIT_S = 3600
_MAX_EXTENSIONS = 9  # of a timeout, for a process that waits for a processor


def can_start_child() -> bool:
    """Return whether there is a Python interpreter to start. A frozen program has none."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


def start_child(program: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program.

    Args:
        program: The source. Its first argument is `sys.path` as JSON.
        arguments: Its further arguments.

    Returns:
        The process; its stdin and stdout are unbuffered pipes, its stderr is discarded.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(sys.path), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
    )
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):  # the system allows less
            fcntl.fcntl(require_pipe(process.stdout), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return process


def stop_child(process: subprocess.Popen[bytes], watchdog: Watchdog) -> None:
    """Kill a process and release what belongs to it."""
    watchdog.stop()
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            require_pipe(pipe).close()


def require_pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    """Return a standard stream of a process that `start_child` started."""
    assert pipe is not None, "both streams are pipes"
    return pipe


class Watchdog:
    """A thread that kills a process which does not respond in time.

    On Linux, a process that waits for a processor gets more time, because a busy machine is no fault of the process.

    Attributes:
        expired_timeout_s: The timeout that expired, or 0.
        is_stopped: Whether the thread ends.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process, self._change = process, threading.Condition()
        self._timeout_s, self._deadline, self._cpu_s, self._extensions = 0.0, float("inf"), 0.0, 0
        self.expired_timeout_s, self.is_stopped = 0.0, False
        threading.Thread(target=self._run, daemon=True).start()

    @contextlib.contextmanager
    def limit(self, timeout_s: float) -> Iterator[None]:
        """Kill the process if the block takes longer."""
        with self._change:
            self._timeout_s, self._deadline = timeout_s, time.monotonic() + timeout_s
            self._cpu_s, self._extensions = _read_cpu_use(self._process.pid)[1], 0
            self._change.notify()
        yield
        with self._change:
            self._deadline = float("inf")

    def stop(self) -> None:
        """End the thread."""
        with self._change:
            self.is_stopped = True
            self._change.notify()

    def _run(self) -> None:
        with self._change:
            while not self.is_stopped:
                remaining = self._deadline - time.monotonic()
                if remaining <= 0 and self._waits_for_processor():
                    self._extensions += 1
                    remaining = self._timeout_s
                    self._deadline = time.monotonic() + remaining
                elif remaining <= 0:
                    self.expired_timeout_s = self._timeout_s
                    self._process.kill()
                    return
                self._change.wait(min(remaining, _MAX_WAIT_S))

    def _waits_for_processor(self) -> bool:
        """Return whether the process did not have its time yet, because other processes ran."""
        is_ready, cpu_s = _read_cpu_use(self._process.pid)
        had_its_time = cpu_s - self._cpu_s > 0.9 * self._timeout_s
        return is_ready and not had_its_time and self._extensions < _MAX_EXTENSIONS


def _read_cpu_use(pid: int) -> tuple[bool, float]:
    """Return whether a process runs or is ready to run, and the seconds that it ran; False and 0 if that is unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return fields[0] == "R", (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return False, 0.0
