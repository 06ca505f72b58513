"""A live session as the command line runs it: camera in; page, recording and lines of JSON out."""

from __future__ import annotations

import io
import json
import os
import sys
import time
import webbrowser
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from masklet.atomic import explained
from masklet.cli import console
from masklet.cli.preview import Preview
from masklet.cli.tracking import Runtime
from masklet.errors import ResourceError, SettingsError
from masklet.formats.encoding import H264_LIVE, Timing, VideoEncoder
from masklet.history import History
from masklet.masks import Masks
from masklet.propagate import Schedule
from masklet.tracker import Tracker
from masklet.video import Frame, camera, stream

_UNIT = Fraction(1, 90_000)  # of the recording's times
_WINDOW = 30  # frames over which the speed is measured


@dataclass(frozen=True, slots=True)
class LiveWishes:
    """What the user asked for."""

    source: str
    schedule: Schedule
    runtime: Runtime
    stop: int | None
    preview: bool
    record: Path | None
    overwrite: bool
    json: bool


def follow(wishes: LiveWishes) -> None:
    """Follow the prompted objects until the source ends, `stop` frames are done, or somebody interrupts.

    Raises `ResourceError`: `camera-not-found`, `camera-lost`, and for faults of the recording, which is complete.
    """
    if wishes.record is not None and wishes.record.exists() and not wishes.overwrite:
        hint = "--overwrite writes over it, --record writes elsewhere"
        raise ResourceError("output-exists", f"{wishes.record} exists", hint=hint)
    tracker = Tracker(wishes.runtime.load().backend, history=History(0))
    with ExitStack() as stack:
        source: Any = stream(wishes.source) if "://" in wishes.source else camera(_number(wishes.source))
        stack.callback(source.close)
        page = _opened_page(stack) if wishes.preview else None
        recording = stack.enter_context(_recording(wishes.record, source.size)) if wishes.record else None
        console.say(f"following in {source.name}; Ctrl-C ends")
        pace = _Pace(source)
        stack.callback(lambda: console.say(pace.told()))
        for frame in source:
            masks = _followed(tracker, frame, wishes.schedule)
            pace.count()
            if recording is not None or page is not None:
                drawn = masks.overlay(frame.image) if masks is not None else frame.image
                if recording is not None:
                    recording.add(drawn, round((frame.time or 0.0) / _UNIT))
                if page is not None:
                    page.show(drawn, pace.told())
            if wishes.json:
                _print(frame, masks, source.dropped)
            if wishes.stop is not None and frame.index + 1 >= wishes.stop:
                return


def _followed(tracker: Tracker, frame: Frame, schedule: Schedule) -> Masks | None:
    """The masks on a frame; None as long as nothing is prompted."""
    if frame.index in schedule:
        tracker.prompt(frame.index, schedule[frame.index], frame.image)
    return tracker.step(frame.index, frame.image) if tracker.tracks else None


@dataclass(slots=True)
class _Pace:
    """How fast frames are done, and how many the camera showed meanwhile."""

    source: Any
    done: int = 0
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def count(self) -> None:
        """One more frame is done."""
        self.done += 1
        self._times.append(time.monotonic())

    def told(self) -> str:
        """A line about it."""
        span = self._times[-1] - self._times[0] if len(self._times) > 1 else 0.0
        rate = f"{(len(self._times) - 1) / span:.1f}" if span else "–"
        again = f", {self.source.reconnects} times connected again" if self.source.reconnects else ""
        return f"{self.done} frames, {rate} per second, {self.source.dropped} dropped to stay with now{again}"


def _opened_page(stack: ExitStack) -> Preview:
    page = Preview()
    stack.callback(page.close)
    console.say(f"preview: {page.url}")
    if sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(page.url)  # without a screen this could start a browser in the terminal
    return page


class _File(io.FileIO):
    """A file that explains why it cannot be written."""

    def write(self, data: Any) -> int:
        """Writes and returns the number of bytes written; a fault raises `ResourceError`."""
        with explained(Path(self.name), memoryview(data).nbytes):
            return super().write(data)


@contextmanager
def _recording(path: Path, size: tuple[int, int]) -> Iterator[VideoEncoder]:
    """A recording that is written where it belongs from the start, since a camera shows nothing twice."""
    with explained(path):
        file = _File(path, "wb")
    with io.BufferedWriter(file) as buffer:
        encoder = VideoEncoder(buffer, H264_LIVE, size, Timing(_UNIT, Fraction(30)))
        try:
            yield encoder
        finally:
            encoder.close()


def _print(frame: Frame, masks: Masks | None, dropped: int) -> None:
    """A line of JSON on stdout about one frame."""
    columns = [] if masks is None else zip(masks.object_ids, masks, strict=True)
    objects = [
        {
            "id": object_id,
            "score": round(float(one.scores[0]), 4),
            "visible": bool(one.visible[0]),
            "area": int(one.areas[0]),
            "box": one.boxes[0].tolist(),
        }
        for object_id, one in columns
    ]
    line = {"frame": frame.index, "time": frame.time, "dropped": dropped, "objects": objects}
    sys.stdout.write(json.dumps(line, allow_nan=False) + "\n")
    sys.stdout.flush()


def _number(text: str) -> int:
    if not text.isdecimal():
        message = f"{text!r} is neither the number of a camera nor an address such as rtsp://camera.local/stream"
        raise SettingsError("bad-usage", message, hint="a video file is tracked by: masklet track FILE")
    return int(text)
