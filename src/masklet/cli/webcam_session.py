"""Webcam session: track objects in the frames of a camera, and show, record and write the masks."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masklet.cli import console
from masklet.cli.live_lines import print_frame
from masklet.cli.live_output import MaskWriter, check_outputs
from masklet.cli.options import ModelOptions
from masklet.cli.progress import format_count, show_live_status
from masklet.cli.studio_page import show_page
from masklet.cli.track_run import check_model, check_prompts, collect_prompt_labels
from masklet.errors import MaskletError, ResourceError, SettingsError, VideoError
from masklet.formats import Format
from masklet.http.security import Access
from masklet.masks.masks import Masks
from masklet.masks.postprocessing import PostProcessing
from masklet.masks.rle_frame import RleFrame, encode_frame
from masklet.masks.tracked_frame import TrackedFrame
from masklet.prompts import Prompt
from masklet.signals import handle_signals
from masklet.studio.app import Site
from masklet.studio.live import LiveCommands
from masklet.studio.live_tracking import LiveTracking
from masklet.studio.recording import Recording
from masklet.studio.server import Server
from masklet.tracking.propagate import need_nothing, propagate
from masklet.tracking.schedule import Schedule
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import VisitedFrame, visit_in_order
from masklet.video import Frame, camera, stream
from masklet.video.cameras import Camera
from masklet.video.pacing import PacedCamera

_RATE_DECAY = 0.9  # weight of the earlier frames in the moving average of the frame rate


@dataclass(frozen=True, slots=True)
class WebcamRequest:
    """A webcam session.

    Attributes:
        source: The number of a camera or the address of a stream.
        port: The port of the page; None for no page.
        record: The video file to record; None for none.
        out: The folder of the masks; None to write none.
        every: Track one in so many images of the camera.
        max_rate: The largest number of frames per second; None for no limit.
        lines: Print a line of JSON for each frame.
    """

    source: str
    schedule: Schedule
    stop: int | None
    model: ModelOptions
    postprocessing: PostProcessing
    port: int | None
    record: Path | None
    out: Path | None
    formats: list[Format]
    overwrite: bool
    every: int = 1
    max_rate: float | None = None
    lines: bool = False

    @property
    def outputs(self) -> dict[str, str]:
        """The path of each output: formats by their names, and `record`."""
        files = {form.name: str(form.path_in(self.out)) for form in self.formats} if self.out else {}
        return files | ({"record": str(self.record)} if self.record else {})

    @property
    def object_ids(self) -> set[int]:
        """The objects that have prompts in advance."""
        return {object_id for prompts in self.schedule.values() for object_id in prompts}


def open_source(source: str) -> Camera:
    """Open the camera of a number, or the stream at an address."""
    if "://" in source:
        return stream(source)
    if not source.isdecimal() and os.path.exists(source):  # noqa: PTH110 - false for a path that cannot be checked
        raise SettingsError("bad-usage", f"{source} is a file, not a camera; to track it run: masklet track {source}")
    if not source.isdecimal():
        message = f"a camera is a number, 0 for the first, or the address of a stream such as rtsp://…; got {source!r}"
        raise SettingsError("bad-usage", message)
    return camera(int(source))


def run(request: WebcamRequest) -> dict[str, Any]:
    """Track until the camera, the user or `stop` ends the session, and return a summary.

    The recording and the masks are saved however the session ends. A lost camera is the `error` of the summary.
    """
    check_outputs(request.out, request.formats, request.record, overwrite=request.overwrite)
    with ExitStack() as stack:
        video = stack.enter_context(open_source(request.source))
        check_prompts(request.schedule, video.size, request.formats)
        model = request.model.load()
        check_model(model, request.postprocessing)
        model.warm_up()  # otherwise the first frames would be dropped
        tracker = model.tracker(postprocessing=request.postprocessing)
        page = None
        if request.port is not None:
            outputs = {name: str(Path(path).absolute()) for name, path in request.outputs.items()}
            page = LiveCommands(video.name, video.size, outputs, request.object_ids)
            server = Server(Site(page, page.clients, "live.html"), Access(), port=request.port)
            stack.callback(server.close)
            show_page(server, "masklet webcam")
        return _Session(video, tracker, request, page).run()


class _Session:
    """State of a running session."""

    def __init__(self, video: Camera, tracker: Tracker, request: WebcamRequest, page: LiveCommands | None) -> None:
        self._video, self._tracker, self._page = video, tracker, page
        self._pending: dict[int, Mapping[int, Prompt]] = dict(request.schedule)
        self._stop, self._prints_lines = request.stop, request.lines
        self._paced = PacedCamera(video, every=request.every, max_rate=request.max_rate)
        self._error: MaskletError | None = None
        self._frames, self._rate, self._started = 0, 0.0, time.monotonic()
        self._last = self._started
        self._visible_frames: dict[int, int] = {}  # by object id
        self._image: Any = None  # of the frame in progress
        self._live = LiveTracking(tracker, page) if page else None
        self._outputs = request.outputs
        self._recording = Recording(request.record, video.size) if request.record else None
        ids, labels = sorted(request.object_ids), collect_prompt_labels(request.schedule)
        self._with_edges = any(form.shows_edges for form in request.formats)
        self._masks = MaskWriter(request.out, request.formats, video, ids, labels) if request.out else None

    def run(self) -> dict[str, Any]:
        """Track, save and return the summary."""
        ended = "stopped"
        with ExitStack() as saving:
            saving.push(self._report_end)
            if self._masks:
                saving.callback(self._masks.finish)
            if self._recording:
                saving.callback(self._recording.close)
            try:
                self._track()
            except KeyboardInterrupt:
                ended = "interrupted"
            except (ResourceError, VideoError) as caught:
                if not self._frames:
                    raise
                console.print_error(caught)
                self._error, ended = caught, caught.code
        return self._summarize(ended)

    def _track(self) -> None:
        console.say(f"tracking {self._video.name}; frames that arrive during inference are dropped; Ctrl-C stops")
        with _delay_interrupts() as busy, show_live_status() as report:
            live = self._live
            before, needed = (live.take_actions, live.list_needed) if live else (None, need_nothing)
            visits = self._visits(busy)
            for frame in propagate(self._tracker, visits, before=before, after=self._update, needed=needed):
                self._show(frame)
                report(self._status_line())
                if frame.index + 1 == self._stop or (self._page and self._page.is_stopped):
                    break
        if self._pending:
            first = min(self._pending)
            console.say(f"masklet: warning: the session ended before frame {first}, so its prompts were not used")

    def _report_end(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Report to the page what was saved, unless saving failed."""
        if self._page:
            failure = error if isinstance(error, MaskletError) else self._error
            self._page.finish(failure, is_saved=not isinstance(error, Exception))

    def _visits(self, busy: _InterruptDelay) -> Iterator[VisitedFrame]:
        """Visit the camera's frames. Ctrl-C waits until a frame is finished, but does not wait for the next one."""
        for visit in visit_in_order(self._paced):
            with busy:
                yield visit

    def _show(self, frame: TrackedFrame) -> None:
        """Write, record and show a frame."""
        masks, image = frame.masks, self._image
        encoded = encode_frame(frame, with_edges=self._with_edges)
        if self._prints_lines:
            print_frame(encoded, masks, arrival_time=self._video.arrival_time, dropped=self._video.dropped)
        if self._recording:
            self._recording.add(masks.overlay(image), frame.time or 0.0)
        if self._masks:
            self._masks.add(encoded)
        self._count(encoded, masks)
        if self._page:
            status = {"frames": self._frames, "rate": round(self._rate, 2), "dropped": self._video.dropped}
            self._page.show(frame.index, image, masks, status)

    def _update(self, index: int, frame: Frame, masks: Masks) -> Masks:
        """Return the masks of a tracked frame, updated by the prompts that were given in advance for it."""
        self._image = frame.image
        prompts = self._pending.pop(index, None)
        return self._tracker.prompt(index, prompts, frame.image) if prompts else masks

    def _count(self, frame: RleFrame, masks: Masks) -> None:
        now = time.monotonic()
        rate, self._last = 1 / max(now - self._last, 1e-6), now
        self._rate = rate if not self._frames else _RATE_DECAY * self._rate + (1 - _RATE_DECAY) * rate
        self._frames += 1
        for object_id, visible in zip(frame.object_ids, masks.visible.tolist(), strict=True):
            self._visible_frames[object_id] = self._visible_frames.get(object_id, 0) + visible

    def _status_line(self) -> str:
        parts = [
            f"{self._frames} frames",
            f"{self._rate:.3g} frames/s",
            f"{self._video.dropped} dropped",
            format_count(len(self._tracker.tracks), "object"),
        ]
        parts += ["recording"] if self._recording else []
        parts += ["writing masks"] if self._masks else []
        return " · ".join(parts)

    def _summarize(self, ended: str) -> dict[str, Any]:
        seconds = time.monotonic() - self._started
        return {
            "camera": self._video.name,
            "ended": ended,
            "frames": self._frames,
            "frames_dropped": self._video.dropped,
            "frames_skipped": self._paced.skipped,
            "reconnects": self._video.reconnects,
            "seconds": round(seconds, 3),
            "frames_per_second": round(self._frames / seconds, 3),
            "objects": [{"id": key, "visible_frames": count} for key, count in sorted(self._visible_frames.items())],
            "error": console.error_record(self._error) if self._error else None,
            "files": self._outputs,
        }


class _InterruptDelay:
    """A context manager that delays an interrupt to the end of its block. A second interrupt is not delayed."""

    def __init__(self) -> None:
        self._inside, self._interrupted = False, False

    def __enter__(self) -> None:
        self._inside = True

    def __exit__(self, kind: object, *rest: object) -> None:
        self._inside = False
        if self._interrupted and kind is None:
            raise KeyboardInterrupt

    def interrupt(self, *_: Any) -> None:
        """Handle the signal."""
        if not self._inside or self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True


@contextmanager
def _delay_interrupts() -> Iterator[_InterruptDelay]:
    """Handle Ctrl-C so that the frame in progress is finished first. Yields the context manager for a frame."""
    busy = _InterruptDelay()
    with handle_signals(busy.interrupt, [signal.SIGINT]):
        yield busy
