"""The process that decodes one file: answers requests on its standard input until that ends.

An answer is the length of a header (4 bytes), the header (JSON) and as many bytes as the header says.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from masklet.errors import MaskletError
from masklet.video.decoder import Decoder
from masklet.video.options import VideoOptions

_ALIVE = 0.5  # seconds between signs of life
_BASE, _FRAMES = 2 << 30, 48  # memory: bytes for Python and FFmpeg's own, bytes per pixel for 32 frames in its hands


def serve(path: str, options: dict[str, Any]) -> None:
    """Decode `path` for the process at the other end of the standard streams."""
    out = _own_output()
    _limit(options["max_pixels"])
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # the other end has gone
        try:
            decoder = Decoder(Path(path), VideoOptions(**options), _Pulse(out))
        except MaskletError as error:
            _send_error(out, error)
            return
        _send(out, {"kind": "facts", "facts": decoder.info})
        for line in sys.stdin:
            try:
                _answer(out, decoder, line.split())
            except MaskletError as error:
                _send_error(out, error)


def _answer(out: BinaryIO, decoder: Decoder, request: list[str]) -> None:
    if request == ["times"]:
        times = memoryview(decoder.times()).cast("B")
        _send(out, {"kind": "times", "bytes": len(times)}, times)
        return
    try:
        *head, pixels = decoder.read_frame(int(request[1]))
    except IndexError:
        _send(out, {"kind": "end"})
        return
    _send(out, {"kind": "picture", "frame": head, "bytes": len(pixels)}, pixels)


def _send_error(out: BinaryIO, error: MaskletError) -> None:
    fault = {"type": type(error).__name__, "code": error.code, "message": error.message, "context": error.context}
    _send(out, {"kind": "error", **fault})


def _send(out: BinaryIO, header: dict[str, Any], payload: Any = b"") -> None:
    data = json.dumps(header).encode()
    out.write(struct.pack(">I", len(data)) + data)
    rest = memoryview(payload)
    while rest:
        rest = rest[out.write(rest) :]


class _Pulse:
    """Says now and then that work goes on."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._said = out, time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._said > _ALIVE:
            self._said = now
            _send(self._out, {"kind": "alive"})


def _own_output() -> BinaryIO:
    """Standard output for answers only: whatever a library prints goes nowhere."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
    return out


def _limit(max_pixels: int) -> None:
    """Leave interrupts to the parent, no core files, no more memory than frames of the allowed size need."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import resource

        most = _BASE + _FRAMES * max_pixels
        with contextlib.suppress(OSError, ValueError):  # a lower limit is in force
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _end_with_parent(parent: int) -> None:
    """A decoder that hangs does not see its input end; it must not outlive the process that would kill it."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
