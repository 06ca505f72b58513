"""Decoder client: runs the decoder in a process of its own, kills it if it hangs, and turns its crash into an error."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import struct
import subprocess
import weakref
from array import array
from pathlib import Path
from typing import Any

from masklet.errors import ImageError, InputNotFound, MaskletError, ResourceError, SettingsError, VideoError
from masklet.files.error_translation import translate_errors
from masklet.video.child_process import Watchdog, can_start_child, require_pipe, start_child, stop_child
from masklet.video.options import VideoOptions
from masklet.video.raw_frame import RawFrame, VideoInfo
from masklet.video.stream_properties import parse_properties

_CHILD_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from masklet.video.decoder_process import serve
serve(sys.argv[2], json.loads(sys.argv[3]))
"""
_MAX_HEADER_BYTES = 1 << 20
_MAX_EXTRA_BYTES = 1 << 28  # of a payload besides its pixels: row padding, or the times of all frames
_ERRORS: dict[str, type[MaskletError]] = {
    error.__name__: error for error in (VideoError, InputNotFound, ImageError, ResourceError)
}


class DecoderClient:
    """A decoder in another process, with the methods of `Decoder`.

    Args:
        path: The file.
        options: Orientation, frame size, limits and timeouts.

    Attributes:
        info: The description of the file.

    Raises:
        VideoError: `decoder-timeout` if there is no heartbeat for too long, `decoder-crashed` if the process ends,
            and the errors of `Decoder`.
        InputNotFound: The file is missing, empty or unreadable.
        SettingsError: There is no Python interpreter to start.
    """

    def __init__(self, path: Path, options: VideoOptions) -> None:
        self._path, self._options = path, options
        self._start()

    def times(self) -> array[float]:
        """Return the presentation time of every frame in seconds, nan where there is none."""
        _, payload = self._request("times")
        with self._translate_invalid_response():
            return array("d", bytes(payload))

    def read_frame(self, index: int) -> RawFrame:
        """Decode frame `index`. Raises `IndexError` after the last frame."""
        header, payload = self._request(f"frame {index}")
        if header["kind"] == "end":
            raise IndexError(index)
        with self._translate_invalid_response():
            seconds, corrupt, height, width, stride, channels = header["frame"]
            _require(channels in {3, 4} and 0 < width * channels <= stride and 0 < height * stride <= len(payload))
            return RawFrame(seconds, corrupt, height, width, stride, channels, payload)

    def close(self) -> None:
        """End the process."""
        self._finish()

    def _start(self) -> None:
        self._process, self._is_interrupted = _start_process(self._path, self._options), False
        self._watchdog = Watchdog(self._process)
        self._finish = weakref.finalize(self, stop_child, self._process, self._watchdog)
        header, _ = self._receive(self._options.open_timeout_s)
        with self._translate_invalid_response():
            height, width, (a, b, c, d), frame_count, pairs, properties = header["info"]
            warnings = tuple((code, message) for code, message in pairs)
            matrix = a, b, c, d
            self.info = VideoInfo(height, width, matrix, frame_count, warnings, parse_properties(properties))

    def _request(self, request: str) -> tuple[dict[str, Any], bytearray]:
        if self._is_interrupted:  # while a response was read
            self._finish()
            self._start()
        with contextlib.suppress(OSError):  # if the process has ended, reading the response raises the error
            require_pipe(self._process.stdin).write(f"{request}\n".encode())
        return self._receive(self._options.frame_timeout_s)

    def _receive(self, timeout_s: float) -> tuple[dict[str, Any], bytearray]:
        """Read the next response, and skip heartbeats. Each must arrive within the timeout."""
        try:
            while True:
                with self._watchdog.limit(timeout_s):
                    header, payload = self._read_response()
                if header["kind"] != "alive":
                    break
        except KeyboardInterrupt:
            self._is_interrupted = True
            raise
        if header["kind"] == "error":
            with self._translate_invalid_response():
                raise _ERRORS[header["type"]](header["code"], header["message"], **header["context"])
        return header, payload

    def _read_response(self) -> tuple[dict[str, Any], bytearray]:
        (length,) = struct.unpack(">I", self._read(4))
        with self._translate_invalid_response():
            _require(length <= _MAX_HEADER_BYTES)
            header = json.loads(self._read(length))
            payload_bytes = header.get("bytes", 0)
            _require(header["kind"] and 0 <= payload_bytes <= 4 * self._options.max_pixels + _MAX_EXTRA_BYTES)
        return header, self._read(payload_bytes)

    def _read(self, length: int) -> bytearray:
        data = bytearray(length)
        position, view = 0, memoryview(data)
        while position < length:
            count = require_pipe(self._process.stdout).readinto(view[position:])  # type: ignore[attr-defined]
            if not count:
                raise self._make_error()
            position += count
        return data

    def _translate_invalid_response(self) -> contextlib.AbstractContextManager[None]:
        """End a process whose response is invalid, and raise `decoder-crashed` in place of the exception."""
        kinds = (ValueError, TypeError, LookupError, AttributeError, AssertionError)
        return translate_errors(*kinds, into=lambda _: self._make_error("invalid response"))

    def _make_error(self, reason: str = "") -> VideoError:
        """End the process, and make an error that says how it ended or the given reason."""
        self._process.kill()
        status, name = self._process.wait(), str(self._path)
        if self._watchdog.expired_timeout_s:
            seconds = f"{self._watchdog.expired_timeout_s:g} s"
            message = f"{name}: the decoder hung for {seconds} and was stopped; the file is probably broken"
            return VideoError("decoder-timeout", message, path=name)
        reason = reason or (signal.Signals(-status).name if status < 0 else f"exit status {status}")
        message = f"{name}: the decoder crashed ({reason}); the file is probably broken"
        return VideoError("decoder-crashed", message, path=name)


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError("an invalid response")


def _start_process(path: Path, options: VideoOptions) -> subprocess.Popen[bytes]:
    if not can_start_child():
        message = (
            "found no Python interpreter for the decoder process; for trusted files pass VideoOptions(isolated=False)"
        )
        raise SettingsError("bad-usage", message)
    return start_child(_CHILD_PROGRAM, [str(path), json.dumps(dataclasses.asdict(options))])
