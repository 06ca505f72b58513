"""Audio of a video: copied into an exported video. A fault of the audio is a warning, never an error."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av

from masklet.errors import warn
from masklet.video.child_process import Watchdog, can_start_child, require_pipe, start_child, stop_child
from masklet.video.options import VideoOptions

_CHILD_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from masklet.formats.audio_extraction import serve
serve(*sys.argv[2:])
"""
_TIMEOUT_S = 20.0  # without a heartbeat
_MAX_LINE_BYTES = 1 << 16
_FAULTS = (av.InvalidDataError, av.ArgumentError)  # of audio that MP4 does not accept


class AudioCopier:
    """Copies the audio of a video file between `start` and `stop` seconds to the open `target`.

    The audio is read in a process of its own, which is killed if it hangs. Time 0 of the target is `start`. Create it
    before anything is written to the target, and close it after the last `write_until`. If `source` is None or has no
    audio, no audio is written.
    """

    def __init__(self, source: Path | None, target: Any, start: float, stop: float) -> None:
        self._target, self._name = target, "" if source is None else source.name
        self._streams: dict[int, Any] = {}
        self._packets: Iterator[Any] = iter(())
        self._resources = ExitStack()
        if source is not None:
            self._open(source, start, stop)
        self._next = next(self._packets, None)

    def write_until(self, time: float) -> None:
        """Write the audio before `time` seconds of the target."""
        while self._next is not None and self._next.pts * self._next.time_base < time:
            self._next.stream = self._streams[self._next.stream.index]
            try:
                self._target.mux(self._next)
                self._next = next(self._packets, None)
            except _FAULTS as fault:
                self._next = None
                self._warn(f"the audio from {time:.1f} s on is left out: {fault.strerror}")

    def close(self) -> None:
        """Release the extracted audio."""
        self._packets = iter(())
        self._resources.close()

    def __enter__(self) -> AudioCopier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, source: Path, start: float, stop: float) -> None:
        try:
            folder = self._resources.enter_context(tempfile.TemporaryDirectory(prefix="masklet-"))
            path = Path(folder, "audio.mp4")
            for code, text in _extract(source, path, start, stop):
                warn(code, f"{self._name}: {text}")
            if path.exists():
                container: Any = self._resources.enter_context(av.open(str(path), format="mp4"))
                for stream in container.streams.audio:
                    self._streams[stream.index] = self._target.add_stream_from_template(stream)
                self._packets = (packet for packet in container.demux() if packet.size)
        except (av.FFmpegError, OSError) as fault:
            self._warn(f"the audio is left out: {fault.strerror}")

    def _warn(self, text: str) -> None:
        warn("audio-missing", f"{self._name}: {text}")


def _extract(source: Path, target: Path, start: float, stop: float) -> list[tuple[str, str]]:
    """Extract audio in another process if there is a Python interpreter, and return the messages."""
    messages: list[tuple[str, str]] = []
    if can_start_child():
        messages = list(_extract_isolated(source, target, start, stop))
    else:
        from masklet.formats.audio_extraction import extract_audio

        extract_audio(source, target, start, stop, lambda *message: messages.append(message))
    return [message for message in messages if message[0]]


def _extract_isolated(source: Path, target: Path, start: float, stop: float) -> Iterator[tuple[str, str]]:
    arguments = [str(source), str(target), repr(start), repr(stop), str(VideoOptions().max_pixels)]
    process = start_child(_CHILD_PROGRAM, arguments)
    watchdog = Watchdog(process)
    try:
        while True:
            with watchdog.limit(_TIMEOUT_S):
                line = require_pipe(process.stdout).readline(_MAX_LINE_BYTES)
            try:
                code, text = json.loads(line)
            except ValueError:  # an incomplete line: the process has ended
                target.unlink(missing_ok=True)
                reason = "hung and was stopped" if watchdog.expired_timeout_s else "crashed"
                yield "audio-missing", f"the audio is left out: its decoder {reason}; the file is probably broken"
                return
            if code == "end":
                return
            yield code, text
    finally:
        stop_child(process, watchdog)
