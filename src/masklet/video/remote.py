"""A decoder in a process of its own: when it hangs it is killed, and when it crashes that is only an error."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import struct
import subprocess
import sys
import threading
import time
import weakref
from array import array
from pathlib import Path
from typing import IO, Any, NoReturn

from masklet import errors
from masklet.errors import SettingsError, VideoError
from masklet.video.options import VideoOptions
from masklet.video.raw import Facts, RawFrame

_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from masklet.video.child import serve
serve(sys.argv[2], json.loads(sys.argv[3]))
"""
_LONGEST_HEADER = 1 << 20
_LONGEST_PAYLOAD = 1 << 33
_PIPE = 1 << 20  # bytes; through a larger pipe a frame goes in fewer turns


class RemoteDecoder:
    """Works like `Decoder`. Raises `decoder-timeout` when there is no sign of life, `decoder-crashed` when it ends."""

    def __init__(self, path: Path, options: VideoOptions) -> None:
        self._name, self._options = str(path), options
        self._process = _start(path, options)
        self._watch = _Watch(self._process)
        self._finish = weakref.finalize(self, _stop, self._process, self._watch)
        height, width, matrix, length, notices = self._receive(options.seconds_to_open)[0]["facts"]
        self.facts = Facts(height, width, tuple(matrix), length, tuple((code, text) for code, text in notices))

    def times(self) -> array[float]:
        """The time of every frame in seconds, nan where there is none."""
        return array("d", bytes(self._ask("times")[1]))

    def picture(self, index: int) -> RawFrame:
        """Frame `index`; `IndexError` after the last one."""
        header, payload = self._ask(f"picture {index}")
        if header["kind"] == "end":
            raise IndexError(index)
        seconds, corrupt, height, width, stride, channels = header["frame"]
        return RawFrame(seconds, corrupt, height, width, stride, channels, payload)

    def close(self) -> None:
        """End the process."""
        self._finish()

    def _ask(self, request: str) -> tuple[dict[str, Any], bytearray]:
        with contextlib.suppress(OSError):  # a process that has ended says so in its answer
            _pipe(self._process.stdin).write(f"{request}\n".encode())
        return self._receive(self._options.seconds_per_frame)

    def _receive(self, patience: float) -> tuple[dict[str, Any], bytearray]:
        """The next answer that is more than a sign of life."""
        while True:
            with self._watch.expecting(patience):
                (length,) = struct.unpack(">I", self._read(4))
                header = json.loads(self._read(min(length, _LONGEST_HEADER)))
                payload = self._read(min(header.get("bytes", 0), _LONGEST_PAYLOAD))
            if header["kind"] == "error":
                kind = getattr(errors, header["type"])
                raise kind(header["code"], header["message"], **header["context"])
            if header["kind"] != "alive":
                return header, payload

    def _read(self, length: int) -> bytearray:
        data = bytearray(length)
        place, rest = 0, memoryview(data)
        while place < length:
            got = _pipe(self._process.stdout).readinto(rest[place:])  # type: ignore[attr-defined]
            if not got:
                self._explain()
            place += got
        return data

    def _explain(self) -> NoReturn:
        """Says how the process ended."""
        self._process.kill()
        status = self._process.wait()
        if self._watch.fired:
            message = f"{self._name}: the decoder hung for {self._watch.fired:g} s and was stopped; the file is broken"
            raise VideoError("decoder-timeout", message, path=self._name)
        reason = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        raise VideoError("decoder-crashed", f"{self._name}: the decoder crashed ({reason})", path=self._name)


class _Watch:
    """Kills a process that does not answer in time. `fired` is then the time that it had."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process, self._change = process, threading.Condition()
        self._patience, self._deadline = 0.0, float("inf")
        self.fired, self.over = 0.0, False
        threading.Thread(target=self._run, daemon=True).start()

    @contextlib.contextmanager
    def expecting(self, patience: float) -> Any:
        """An answer must come before the block has lasted that many seconds."""
        with self._change:
            self._patience, self._deadline = patience, time.monotonic() + patience
            self._change.notify()
        yield
        with self._change:
            self._deadline = float("inf")

    def stop(self) -> None:
        """Watch no longer."""
        with self._change:
            self.over = True
            self._change.notify()

    def _run(self) -> None:
        with self._change:
            while not self.over:
                left = self._deadline - time.monotonic()
                if left <= 0:
                    self.fired = self._patience
                    self._process.kill()
                    return
                self._change.wait(min(left, 3600))


def _start(path: Path, options: VideoOptions) -> subprocess.Popen[bytes]:
    if not sys.executable or getattr(sys, "frozen", False):
        message = "no Python to start a decoder with; for files that you trust pass VideoOptions(isolated=False)"
        raise SettingsError("bad-usage", message)
    arguments = [json.dumps(sys.path), str(path), json.dumps(dataclasses.asdict(options))]
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
    )
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):  # beyond what the system allows
            fcntl.fcntl(_pipe(process.stdout), fcntl.F_SETPIPE_SZ, _PIPE)
    return process


def _stop(process: subprocess.Popen[bytes], watch: _Watch) -> None:
    watch.stop()
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            _pipe(pipe).close()


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    assert end is not None, "both ends are pipes"
    return end
