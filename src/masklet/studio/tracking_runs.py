"""Tracking runs of the studio: plans that the inference engine tracks frame by frame, and their progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from masklet.errors import StateError
from masklet.http.engine import Engine, Job, Priority
from masklet.http.problems import describe_problem
from masklet.project.media import open_medium
from masklet.project.project import Project
from masklet.project.tracking import TrackingPlan, run_tracking
from masklet.studio.connection import Clients
from masklet.studio.embeddings import Embeddings
from masklet.video import Video

MAX_RUNS = 4  # each has a decoder process
_PROGRESS_INTERVAL_S = 0.1


@dataclass
class _Run:
    """A running track.

    Attributes:
        number: Its number.
        plan: What is tracked.
        start_time: Value of `time.monotonic()` when its first frame was begun.
        done: Number of frames done.
        frame: The last of them.
        report_time: Value of `time.monotonic()` at the last report.
        job: Its job in the inference engine; None while the video is opened.
        is_stopped: Whether a user stopped it.
    """

    number: int
    plan: TrackingPlan
    start_time: float = 0.0
    done: int = 0
    frame: int | None = None
    report_time: float = 0.0
    job: Job[Embeddings] | None = field(default=None, repr=False)
    is_stopped: bool = False

    def describe(self, state: str = "running", problem: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the fields of the event `progress`."""
        remaining = self.plan.visit_count - self.done
        elapsed = time.monotonic() - self.start_time
        return {
            "run": self.number,
            "medium": self.plan.medium,
            "frame": self.frame,
            "done": self.done,
            "total": self.plan.visit_count,
            "seconds_left": round(elapsed / self.done * remaining, 1) if self.done and state == "running" else None,
            "state": state,
            "problem": problem,
        }


class TrackingRuns:
    """Tracking runs. All methods may be called by any thread.

    Args:
        project: The project.
        engine: The inference engine.
        clients: The connected clients, which are sent the progress.
    """

    def __init__(self, project: Project, engine: Engine[Embeddings], clients: Clients) -> None:
        self._project, self._engine, self._clients = project, engine, clients
        self._numbers, self._lock = count(1), threading.Lock()
        self._runs: dict[int, _Run] = {}

    def start(self, plan: TrackingPlan) -> int:
        """Start to track, and return the number of the run.

        Raises:
            StateError: `job-locked`. `MAX_RUNS` tracks run already.
            MaskletError: The video cannot be opened.
        """
        run = _Run(next(self._numbers), plan)
        with self._lock:
            if len(self._runs) >= MAX_RUNS:
                raise StateError("job-locked", f"{MAX_RUNS} tracks run already; wait for one of them, or stop it")
            self._runs[run.number] = run
        try:
            video: Any = open_medium(self._project, plan.medium)  # here, since it would hold up predictions
        except BaseException:
            with self._lock:
                del self._runs[run.number]
            raise

        def end(job: Job[Embeddings]) -> None:
            video.close()
            self._end(run, job)

        job = self._engine.submit(Priority.TRACKING, lambda model: self._track(model, video, run), on_end=end)
        with self._lock:
            run.job = job
        if run.is_stopped:
            job.cancel()
        return run.number

    def stop(self, number: int) -> None:
        """Stop a run before its next frame. It does nothing if the run has ended."""
        with self._lock:
            run = self._runs.get(number)
            if run is None:
                return
            run.is_stopped, job = True, run.job
        if job is not None:
            job.cancel()

    def describe(self) -> list[dict[str, Any]]:
        """Return the progress of each run."""
        with self._lock:
            return [run.describe() for run in self._runs.values()]

    def _track(self, model: Embeddings, video: Video, run: _Run) -> Iterator[None]:
        run.start_time = time.monotonic()
        with closing(run_tracking(model.model, video, self._project, run.plan)) as frames:  # type: ignore[type-var]
            for frame in frames:
                run.done, run.frame = run.done + 1, frame.index
                now = time.monotonic()
                if now - run.report_time >= _PROGRESS_INTERVAL_S:
                    run.report_time = now
                    self._report(run.describe())
                yield

    def _end(self, run: _Run, job: Job[Embeddings]) -> None:
        with self._lock:
            self._runs.pop(run.number, None)
        if job.error is not None:
            self._report(run.describe("failed", describe_problem(job.error)))
        else:
            is_finished = job.is_complete and run.done >= run.plan.visit_count
            self._report(run.describe("finished" if is_finished else "stopped"))

    def _report(self, fields: dict[str, Any]) -> None:
        self._clients.broadcast({"event": "progress", **fields})
