"""Decoder process: decodes one file and responds to requests on its standard input until that ends.

A request is a line: `times` or `frame INDEX`. A response is the length of its header (4 bytes, big-endian), the header
(JSON), and as many bytes as the header states.
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

_HEARTBEAT_INTERVAL_S = 0.5
_PARENT_POLL_INTERVAL_S = 1
_BASE_MEMORY_BYTES = 2 << 30  # for Python and FFmpeg
_MEMORY_BYTES_PER_PIXEL = 48  # for the 32 frames that FFmpeg may keep


def serve(path: str, options: dict[str, Any]) -> None:
    """Decode `path` for the process at the other end of the standard streams.

    Args:
        path: The file.
        options: The fields of `VideoOptions`.
    """
    output = _claim_output()
    _limit_resources(options["max_pixels"])
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # the other process has ended
        try:
            decoder = Decoder(Path(path), VideoOptions(**options), _Heartbeat(output))
        except MaskletError as error:
            _send_error(output, error)
            return
        _send(output, {"kind": "info", "info": decoder.info})
        for line in sys.stdin:
            try:
                _respond(output, decoder, line.split())
            except MaskletError as error:
                _send_error(output, error)


def _respond(output: BinaryIO, decoder: Decoder, request: list[str]) -> None:
    if request == ["times"]:
        times = memoryview(decoder.times()).cast("B")
        _send(output, {"kind": "times", "bytes": len(times)}, times)
        return
    try:
        *fields, pixels = decoder.read_frame(int(request[1]))
    except IndexError:
        _send(output, {"kind": "end"})
        return
    _send(output, {"kind": "frame", "frame": fields, "bytes": len(pixels)}, pixels)


def _send_error(output: BinaryIO, error: MaskletError) -> None:
    fields = {"type": type(error).__name__, "code": error.code, "message": error.message, "context": error.context}
    _send(output, {"kind": "error", **fields})


def _send(output: BinaryIO, header: dict[str, Any], payload: Any = b"") -> None:
    data = json.dumps(header).encode()
    output.write(struct.pack(">I", len(data)) + data)
    remaining = memoryview(payload)
    while remaining:
        remaining = remaining[output.write(remaining) :]


class _Heartbeat:
    """Sends a heartbeat when it is called, at most every half second."""

    def __init__(self, output: BinaryIO) -> None:
        self._output, self._last_time = output, time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._last_time > _HEARTBEAT_INTERVAL_S:
            self._last_time = now
            _send(self._output, {"kind": "alive"})


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
