"""Runs of tracking whose masks a client polls: the events `track`, `track_progress` and `track_cancel`."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import Any, NamedTuple

import numpy as np

from masklet.errors import MaskletError
from masklet.http.problems import log_bug
from masklet.masks.tracked_frame import TrackedFrame
from masklet.prompts import Prompt
from masklet.serve.protocols.label_studio.regions import make_data_url
from masklet.serve.protocols.label_studio.task_media import TaskVideo
from masklet.serve.protocols.label_studio.video_time import read_time
from masklet.serve.service import Service
from masklet.tracking.traversal import Direction

MAX_FRAMES = 300  # in each direction
POLL_S = 5.0  # for which a poll waits for a frame
_GATHER_S = 0.1  # for which it waits for further frames
LIFETIME_S = 300.0  # without a poll
_PATIENCE = 3  # frames in a row without the object, after which tracking ends
_MAX_COVERED = 0.7  # share of the frame above which a mask is taken for lost


class Span(NamedTuple):
    """Frames that are tracked in one direction.

    Attributes:
        direction: "forward" or "backward".
        start: First frame.
        stop: End of the range.
        skips_prompted: Whether the mask of the prompted frame is left out, since another span has it.
    """

    direction: Direction
    start: int
    stop: int
    skips_prompted: bool = False

    @property
    def frame_count(self) -> int:
        """Number of frames whose masks are produced."""
        return self.stop - self.start - self.skips_prompted


def plan_spans(frame: int, length: int, direction: Direction, max_frames: int) -> list[Span]:
    """Return the parts of a track from a frame of a video with `length` frames."""
    forward = Span("forward", frame, min(length, frame + max_frames + 1))
    backward = Span("backward", max(0, frame - max_frames), frame + 1)
    both = [forward, backward._replace(skips_prompted=True)]
    return {"forward": [forward], "backward": [backward], "both": both}[direction]


class TrackRun:
    """A track in the background.

    Attributes:
        id: Its name, which nobody can guess.
        total: Number of frames that are to be produced.
        produced: Number of frames so far.
        is_done: Whether it has ended.
        error: Why it ended early, or None.
        last_poll: `time.monotonic()` of the last poll.
    """

    def __init__(self, total: int) -> None:
        self.id, self.total, self.produced = secrets.token_urlsafe(12), total, 0
        self.is_done, self.last_poll = False, time.monotonic()
        self.error: str | None = None
        self._frames: list[dict[str, Any]] = []
        self._changed, self._ended = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, work: Any) -> None:
        """Run a coroutine, which adds frames, in the background."""
        self._task = asyncio.get_running_loop().create_task(self._finish(work))

    def add(self, frame: dict[str, Any]) -> None:
        """Add a frame for the next poll."""
        self._frames.append(frame)
        self.produced += 1
        self._changed.set()

    def cancel(self) -> None:
        """End the run."""
        if self._task is not None:
            self._task.cancel()

    async def poll(self, timeout_s: float = POLL_S) -> list[dict[str, Any]]:
        """Return the frames since the last poll. While the run goes on, it waits for one and gathers further ones."""
        self.last_poll = time.monotonic()
        if not self._frames and not self.is_done:
            self._changed.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), timeout_s)
        if self._frames and not self.is_done:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _GATHER_S)
        frames, self._frames = self._frames, []
        return frames

    async def _finish(self, work: Any) -> None:
        try:
            await work
        except MaskletError as error:
            self.error = error.message
        except Exception as error:  # noqa: BLE001 - the poll reports it
            self.error = log_bug(error).message
        finally:
            self.is_done = True
            self._changed.set()
            self._ended.set()


class TrackRuns:
    """The tracks of a server, at most as many as it has sessions.

    Args:
        service: The service.
        now: The clock, in seconds.
    """

    def __init__(self, service: Service, now: Callable[[], float] = time.monotonic) -> None:
        self._service, self._now = service, now
        self._runs: dict[str, TrackRun] = {}

    @property
    def max_count(self) -> int:
        """Most tracks at a time."""
        return self._service.limits.sessions

    @property
    def active_count(self) -> int:
        """Number of tracks that have not ended."""
        return sum(not run.is_done for run in self._runs.values())

    def __len__(self) -> int:
        return len(self._runs)

    def start(
        self,
        opened: AbstractAsyncContextManager[TaskVideo],
        frame: int,
        prompts: dict[int, Prompt],
        spans: Sequence[Span],
    ) -> TrackRun:
        """Start a track.

        Args:
            opened: Opens the video for the time of the track.
            frame: The prompted frame, from 0.
            prompts: Prompts by object id; the masks of all objects are one mask.
            spans: The frames.
        """
        run = TrackRun(sum(span.frame_count for span in spans))
        self._runs[run.id] = run

        async def work() -> None:
            async with opened as video:
                for span in spans:
                    await self._track(run, video, frame, prompts, span)

        run.start(work())
        return run

    def find(self, run_id: str) -> TrackRun | None:
        """Return a track, or None."""
        return self._runs.get(run_id)

    def drop(self, run: TrackRun) -> None:
        """End a track and forget it."""
        run.cancel()
        self._runs.pop(run.id, None)

    def drop_idle(self) -> None:
        """End the tracks that were not polled for too long."""
        for run in [*self._runs.values()]:
            if run.last_poll < self._now() - LIFETIME_S:
                self.drop(run)

    async def _track(self, run: TrackRun, video: TaskVideo, frame: int, prompts: dict[int, Prompt], span: Span) -> None:
        lost, prompts_by_frame = 0, {frame: prompts}
        tracked = self._service.track(
            video.video, prompts_by_frame, start=span.start, stop=span.stop, direction=span.direction
        )
        async with aclosing(tracked) as frames:
            async for one in frames:
                encoded = await self._service.run_in_thread(_encode_frame, one, video)
                lost = 0 if encoded else lost + 1
                if lost >= _PATIENCE or (encoded is not None and encoded.covered > _MAX_COVERED):
                    return
                if encoded is not None and not (span.skips_prompted and one.index == frame):
                    run.add(encoded.record)


class _EncodedFrame(NamedTuple):
    """A frame for the client, and the share of it that the mask covers."""

    record: dict[str, Any]
    covered: float


def _encode_frame(frame: TrackedFrame, video: TaskVideo) -> _EncodedFrame | None:
    """Encode the mask of all objects on a frame; None if no object is visible."""
    mask = np.logical_or.reduce(frame.masks.binary[frame.masks.visible], axis=0)
    if not frame.masks.visible.any() or not mask.any():
        return None
    height, width = mask.shape
    time_ms = read_time(video.video, frame.index, video.fps) * 1000
    record = {"frame": frame.index, "time_ms": time_ms, "imageDataURL": make_data_url(mask), "width": width,
              "height": height}  # fmt: skip
    return _EncodedFrame(record, float(mask.mean()))
