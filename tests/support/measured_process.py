"""A server in a process of its own, so that its memory, descriptors and threads can be measured."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import psutil
from typing_extensions import Self

TIMEOUT_S = 120.0

_log = logging.getLogger("masklet.reliability")


def report(row: str, **figures: object) -> None:
    """Log the figures of a row of the test plan; `-o log_cli=true -o log_cli_level=INFO` shows them."""
    _log.info("%s: %s", row, ", ".join(f"{name} {value}" for name, value in figures.items()))


class Usage(NamedTuple):
    """What a process uses: memory in MiB, descriptors, threads, temporary files, child processes, seconds of CPU."""

    memory_mib: float
    descriptors: int
    threads: int
    files: int
    children: int
    cpu_s: float


class MeasuredProcess:
    """A module that serves until its stdin ends. Its first line is a JSON object.

    Args:
        module: Name of the module.
        folder: Its first argument. Its temporary files are in `folder/tmp`.
        fault: Its second argument.

    Attributes:
        record: The object of its first line.
    """

    def __init__(self, module: str, folder: Path, fault: str) -> None:
        self._temporary = folder / "tmp"
        self._temporary.mkdir()
        self._errors = (folder / "errors.txt").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(folder), fault],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
            env={**os.environ, "TMPDIR": str(self._temporary), "OMP_NUM_THREADS": "1"},
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, self.read_errors()
        self.record: dict[str, Any] = json.loads(line)
        self._measured = psutil.Process(self._process.pid)

    def measure(self) -> Usage:
        """Return what the process uses now."""
        with self._measured.oneshot():
            times = self._measured.cpu_times()
            return Usage(
                self._measured.memory_info().rss / 2**20,
                self._measured.num_fds(),
                self._measured.num_threads(),
                sum(path.is_file() for path in self._temporary.rglob("*")),
                len(self._measured.children(recursive=True)),
                times.user + times.system,
            )

    def read_errors(self) -> str:
        """Return what the process wrote to stderr: bugs, warnings, and connections to other machines."""
        self._errors.flush()
        return Path(self._errors.name).read_text()

    def close(self) -> int:
        """End the process as Ctrl-C does, and return its status."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        try:
            return self._process.wait(TIMEOUT_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self.close()


def note_connections(event: str, arguments: tuple[Any, ...]) -> None:
    """Write connections and look-ups of other machines to stderr."""
    if event == "socket.getaddrinfo" or (event == "socket.connect" and not isinstance(arguments[1], str | bytes)):
        sys.stderr.write(f"{event} {arguments[1:]}\n")
