"""Decoder process: decodes one file and responds to requests on its standard input until that ends.

A request is a line: `times` or `frame INDEX`. A response is the length of its header (4 bytes, big-endian), the header
(JSON), and as many bytes as the header states.
"""

from __future__ import annotations

import contextlib
import json
import struct
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

from masklet.errors import MaskletError
from masklet.video.child_setup import set_up_child
from masklet.video.decoder import Decoder
from masklet.video.options import VideoOptions

_HEARTBEAT_INTERVAL_S = 0.5


def serve(path: str, options: dict[str, Any]) -> None:
    """Decode `path` for the process at the other end of the standard streams.

    Args:
        path: The file.
        options: The fields of `VideoOptions`.
    """
    output = set_up_child(options["max_pixels"])
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
