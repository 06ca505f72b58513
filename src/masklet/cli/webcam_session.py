"""Objects followed in a camera's picture: shown, recorded and written as they come, until somebody ends it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masklet.cli import console
from masklet.cli.live_output import KeptMasks, Recording, check_free
from masklet.cli.progress import live_meter
from masklet.cli.track_run import Runtime, check_prompts
from masklet.cli.webcam_page import Clicked, Page, Removed
from masklet.errors import MaskletError, PromptError, ResourceError, SettingsError, VideoError
from masklet.formats import Format
from masklet.masks.drawing import colour
from masklet.masks.masks import Masks
from masklet.masks.postprocessing import Cleaning
from masklet.masks.rle_frame import CodedFrame, coded
from masklet.masks.tracked_frame import TrackedFrame
from masklet.prompts import Prompt, click
from masklet.tracking.disk_cache import History
from masklet.tracking.propagate import Schedule
from masklet.tracking.tracker import Tracker
from masklet.video import Frame, camera, stream
from masklet.video.cameras import Camera

MOST_OBJECTS = 256  # that clicks can make
_SMOOTH = 0.9  # of the frame rate that is told, how much comes from before


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked for. `source` is a camera's number or a stream's address; without a `port` there is no page,
    without `out` no masks are written."""

    source: str
    schedule: Schedule
    stop: int | None
    runtime: Runtime
    cleaning: Cleaning
    port: int | None
    record: Path | None
    out: Path | None
    formats: list[Format]
    overwrite: bool


def opened(source: str) -> Camera:
    """The camera of a number, or the stream at an address."""
    if "://" in source:
        return stream(source)
    if not source.isdecimal():
        message = f"a camera is a number, 0 for the first, or the address of a stream, such as rtsp://…; got {source!r}"
        raise SettingsError("bad-usage", message)
    return camera(int(source))


def run(wishes: Wishes) -> dict[str, Any]:
    """Follow until the camera, the user or `stop` ends it; tell what came of it. What was asked for is saved whichever
    way it ends, a lost camera included, which is told as the `error`."""
    check_free(wishes.out, wishes.formats, wishes.record, overwrite=wishes.overwrite)
    with ExitStack() as stack:
        video = stack.enter_context(opened(wishes.source))
        check_prompts(wishes.schedule, video.size, wishes.formats)
        model = wishes.runtime.load()
        model.warm_up()  # or the first frames that come are dropped
        tracker = Tracker(model.backend, history=History(0), cleaning=wishes.cleaning, zoom=model.zoom)
        page = Page(wishes.port) if wishes.port is not None else None
        if page:
            stack.callback(page.close)
            _show(page.address)
        live = _Live(video, tracker, wishes, page)
        return live.done()


class _Live:
    """One run."""

    def __init__(self, video: Camera, tracker: Tracker, wishes: Wishes, page: Page | None) -> None:
        self._video, self._tracker, self._page = video, tracker, page
        self._waiting: dict[int, Mapping[int, Prompt]] = dict(wishes.schedule)
        self._stop, self._message = wishes.stop, ""
        self._frames, self._rate, self._started = 0, 0.0, time.monotonic()
        self._last = self._started
        self._seen: dict[int, int] = {}  # on how many frames each object was visible
        ids = {object_id for prompts in wishes.schedule.values() for object_id in prompts}
        self._next_id = max(ids, default=0) + 1
        self._recording = Recording(wishes.record, video.size) if wishes.record else None
        self._masks = KeptMasks(wishes.out, wishes.formats, video, sorted(ids)) if wishes.out else None

    def done(self) -> dict[str, Any]:
        """Follow, save, tell."""
        stopped: MaskletError | None = None
        ended = "stopped"
        with ExitStack() as saving:
            if self._masks:
                saving.callback(self._masks.finish)
            if self._recording:
                saving.callback(self._recording.close)
            try:
                self._follow()
            except KeyboardInterrupt:
                ended = "interrupted"
            except (ResourceError, VideoError) as error:
                if not self._frames:
                    raise
                console.print_error(stopped := error)
                ended = error.code
        return self._record(ended, stopped)

    def _follow(self) -> None:
        console.say(
            f"following {self._video.name}; a picture that comes while the last one is worked on is dropped; "
            "Ctrl-C ends it"
        )
        with _interrupts() as busy, live_meter() as report:
            for frame in self._video:
                with busy:
                    self._one(frame)
                    report(self._line())
                if frame.index + 1 == self._stop or (self._page and self._page.stopped):
                    break
        if self._waiting:
            console.say(f"masklet: warning: it ended before frame {min(self._waiting)}, whose prompts were not used")

    def _one(self, frame: Frame) -> None:
        masks = self._followed(frame)
        done = coded(TrackedFrame(frame.index, frame.time, masks))
        drawn = masks.overlay(frame.image) if self._page or self._recording else frame.image
        if self._recording:
            self._recording.add(drawn, frame.time or 0.0)
        if self._masks:
            self._masks.add(done)
        self._count(done, masks)
        if self._page:
            self._page.show(drawn, {"line": self._line(), "objects": _told(masks), "message": self._message})

    def _followed(self, frame: Frame) -> Masks:
        """The masks on a frame: those followed to it, then what was asked on it."""
        tracker = self._tracker
        masks = tracker.step(frame.index, frame.image) if tracker.tracks else Masks.empty(frame.image.shape[:2])
        asked = dict(self._waiting.pop(frame.index, {}))
        for one in self._page.asked() if self._page else ():
            self._take(one, asked)
        if asked:
            return tracker.prompt(frame.index, asked, frame.image)
        return masks if masks.object_ids == tracker.object_ids else tracker.masks(frame.index)

    def _take(self, one: Clicked | Removed, asked: dict[int, Prompt]) -> None:
        """Do what was clicked; a click becomes part of what is `asked` of its object."""
        self._message = ""
        try:
            if isinstance(one, Removed):
                asked.pop(one.object_id, None)
                self._tracker.remove(one.object_id)
                return
            object_id = self._next_id if one.object_id is None else one.object_id
            if object_id not in {*self._tracker.tracks, *asked, self._next_id}:
                raise PromptError("unknown-object", f"object {object_id} is followed no longer")
            if len({*self._tracker.tracks, *asked, object_id}) > MOST_OBJECTS:
                raise PromptError("bad-prompt", f"{MOST_OBJECTS} objects are followed already; remove one first")
            height, width = self._video.size
            point = click(one.x * width, one.y * height, positive=one.positive)
            asked[object_id] = asked[object_id] + point if object_id in asked else point
            self._next_id = max(self._next_id, object_id + 1)
        except PromptError as error:  # a slip of the mouse does not end the session
            self._message = error.message

    def _count(self, frame: CodedFrame, masks: Masks) -> None:
        now = time.monotonic()
        rate, self._last = 1 / max(now - self._last, 1e-6), now
        self._rate = rate if not self._frames else _SMOOTH * self._rate + (1 - _SMOOTH) * rate
        self._frames += 1
        for object_id, visible in zip(frame.object_ids, masks.visible.tolist(), strict=True):
            self._seen[object_id] = self._seen.get(object_id, 0) + visible

    def _line(self) -> str:
        count = len(self._tracker.tracks)
        kept = [word for word, there in (("recording", self._recording), ("writing masks", self._masks)) if there]
        parts = [f"{self._frames} frames", f"{self._rate:.3g} frames/s", f"{self._video.dropped} dropped",
                 f"{count} object" + "s" * (count != 1), *kept]  # fmt: skip
        return " · ".join(parts)

    def _record(self, ended: str, stopped: MaskletError | None) -> dict[str, Any]:
        seconds = time.monotonic() - self._started
        files = {**(self._masks.files if self._masks else {})}
        if self._recording:
            files["record"] = str(self._recording.path)
        return {
            "camera": self._video.name,
            "ended": ended,
            "frames": self._frames,
            "frames_dropped": self._video.dropped,
            "reconnects": self._video.reconnects,
            "seconds": round(seconds, 3),
            "frames_per_second": round(self._frames / seconds, 3),
            "objects": [{"id": key, "visible_frames": count} for key, count in sorted(self._seen.items())],
            "error": console.error_record(stopped) if stopped else None,
            "files": files,
        }


def _told(masks: Masks) -> list[dict[str, Any]]:
    return [
        {"id": object_id, "visible": bool(visible), "colour": "#{:02x}{:02x}{:02x}".format(*colour(object_id))}
        for object_id, visible in zip(masks.object_ids, masks.visible, strict=True)
    ]


def _show(address: str) -> None:
    """Say where the page is, and open it where somebody sits before a screen."""
    console.say(f"see and click: {address}")
    screen = sys.platform in ("win32", "darwin") or any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if sys.stderr.isatty() and screen:
        webbrowser.open(address)


class _Busy:
    """While it is entered, an interrupt waits for the end of the block; a second one does not."""

    def __init__(self) -> None:
        self._inside, self._interrupted = False, False

    def __enter__(self) -> None:
        self._inside = True

    def __exit__(self, kind: object, *rest: object) -> None:
        self._inside = False
        if self._interrupted and kind is None:
            raise KeyboardInterrupt

    def interrupt(self, *_: Any) -> None:
        """What the signal does."""
        if not self._inside or self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True


@contextmanager
def _interrupts() -> Iterator[_Busy]:
    """Within, Ctrl-C lets the frame that is worked on be finished."""
    busy = _Busy()
    if threading.current_thread() is not threading.main_thread():
        yield busy
        return
    before = signal.signal(signal.SIGINT, busy.interrupt)
    try:
        yield busy
    finally:
        signal.signal(signal.SIGINT, before)
