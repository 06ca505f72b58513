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
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from masklet.errors import ImageError, InputNotFound, MaskletError, ResourceError, SettingsError, VideoError
from masklet.files.translate import translate_errors
from masklet.video.options import VideoOptions
from masklet.video.raw_frame import RawFrame, VideoInfo

_CHILD_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from masklet.video.decoder_process import serve
serve(sys.argv[2], json.loads(sys.argv[3]))
"""
_LONGEST_HEADER = 1 << 20
_PADDING = 1 << 28  # bytes that rows may be padded with, and more than all times of a video take
_KINDS: dict[str, type[MaskletError]] = {
    kind.__name__: kind for kind in (VideoError, InputNotFound, ImageError, ResourceError)
}
_PIPE = 1 << 20  # bytes; through a larger pipe a frame goes in fewer turns


class DecoderClient:
    """Works like `Decoder`. Raises `decoder-timeout` when there is no sign of life, `decoder-crashed` when it ends."""

    def __init__(self, path: Path, options: VideoOptions) -> None:
        self._path, self._options = path, options
        self._begin()

    def times(self) -> array[float]:
        """The time of every frame in seconds, nan where there is none."""
        _, payload = self._ask("times")
        with self._translate_nonsense():
            return array("d", bytes(payload))

    def read_frame(self, index: int) -> RawFrame:
        """Frame `index`; `IndexError` after the last one."""
        header, payload = self._ask(f"picture {index}")
        if header["kind"] == "end":
            raise IndexError(index)
        with self._translate_nonsense():
            seconds, corrupt, height, width, stride, channels = header["frame"]
            _require(channels in {3, 4} and 0 < width * channels <= stride and 0 < height * stride <= len(payload))
            return RawFrame(seconds, corrupt, height, width, stride, channels, payload)

    def close(self) -> None:
        """End the process."""
        self._finish()

    def _begin(self) -> None:
        self._process, self._interrupted = _start(self._path, self._options), False
        self._watch = _Watch(self._process)
        self._finish = weakref.finalize(self, _stop, self._process, self._watch)
        header, _ = self._receive(self._options.open_timeout_s)
        with self._translate_nonsense():
            height, width, (a, b, c, d), length, notices = header["facts"]
            self.info = VideoInfo(height, width, (a, b, c, d), length, tuple((code, text) for code, text in notices))

    def _ask(self, request: str) -> tuple[dict[str, Any], bytearray]:
        if self._interrupted:  # in the middle of an answer
            self._finish()
            self._begin()
        with contextlib.suppress(OSError):  # a process that has ended says so in its answer
            _pipe(self._process.stdin).write(f"{request}\n".encode())
        return self._receive(self._options.frame_timeout_s)

    def _receive(self, patience: float) -> tuple[dict[str, Any], bytearray]:
        """The next answer that is more than a sign of life."""
        try:
            while True:
                with self._watch.expecting(patience):
                    header, payload = self._read_answer()
                if header["kind"] != "alive":
                    break
        except KeyboardInterrupt:
            self._interrupted = True
            raise
        if header["kind"] == "error":
            with self._translate_nonsense():
                raise _KINDS[header["type"]](header["code"], header["message"], **header["context"])
        return header, payload

    def _read_answer(self) -> tuple[dict[str, Any], bytearray]:
        (length,) = struct.unpack(">I", self._read(4))
        with self._translate_nonsense():
            _require(length <= _LONGEST_HEADER)
            header = json.loads(self._read(length))
            payload = header.get("bytes", 0)
            _require(header["kind"] and 0 <= payload <= 4 * self._options.max_pixels + _PADDING)
        return header, self._read(payload)

    def _read(self, length: int) -> bytearray:
        data = bytearray(length)
        place, rest = 0, memoryview(data)
        while place < length:
            got = _pipe(self._process.stdout).readinto(rest[place:])  # type: ignore[attr-defined]
            if not got:
                raise self._ended()
            place += got
        return data

    def _translate_nonsense(self) -> contextlib.AbstractContextManager[None]:
        """End a process whose answer makes no sense: a broken one can answer anything."""
        kinds = (ValueError, TypeError, LookupError, AttributeError, AssertionError)
        return translate_errors(*kinds, into=lambda _: self._ended("answers without sense"))

    def _ended(self, reason: str = "") -> VideoError:
        """How the process ended, or for what reason it is ended here."""
        self._process.kill()
        status, name = self._process.wait(), str(self._path)
        if self._watch.fired:
            message = f"{name}: the decoder hung for {self._watch.fired:g} s and was stopped; the file is broken"
            return VideoError("decoder-timeout", message, path=name)
        reason = reason or (signal.Signals(-status).name if status < 0 else f"exit status {status}")
        return VideoError("decoder-crashed", f"{name}: the decoder crashed ({reason})", path=name)


class _Watch:
    """Kills a process that does not answer in time. `fired` is then the time that it had."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process, self._change = process, threading.Condition()
        self._patience, self._deadline = 0.0, float("inf")
        self.fired, self.over = 0.0, False
        threading.Thread(target=self._run, daemon=True).start()

    @contextlib.contextmanager
    def expecting(self, patience: float) -> Iterator[None]:
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


def _require(claim: bool) -> None:
    if not claim:
        raise ValueError("an answer that cannot be")


def _start(path: Path, options: VideoOptions) -> subprocess.Popen[bytes]:
    if not sys.executable or getattr(sys, "frozen", False):
        message = "no Python to start a decoder with; for files that you trust pass VideoOptions(isolated=False)"
        raise SettingsError("bad-usage", message)
    arguments = [json.dumps(sys.path), str(path), json.dumps(dataclasses.asdict(options))]
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD_PROGRAM, *arguments],
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
