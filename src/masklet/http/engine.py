"""Inference engine of a server: one thread that runs the work of the model, by priority and in steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from enum import IntEnum
from itertools import count
from typing import Generic, TypeAlias, TypeVar

from masklet.errors import MaskletError
from masklet.http.problems import log_bug

_STOP_TIMEOUT_S = 10.0  # for the step that runs when the engine ends

Model = TypeVar("Model")
Work: TypeAlias = Callable[[Model], "Iterator[object] | None"]
"""Computes something with the model, in one step, or returns an iterator whose items are steps."""


class Priority(IntEnum):
    """Order in which waiting jobs run."""

    PREDICTION = 1
    PREVIEW = 2
    SHOWN_FRAME = 3
    TRACKING = 4
    PROPOSALS = 5
    NEIGHBORS = 6


class Job(Generic[Model]):
    """Work that waits, runs or has ended.

    Args:
        engine: The engine.
        priority: Its place among the waiting jobs.
        work: The work.
        on_end: Called once when it ends, in the thread of the engine or in that which replaced or cancelled it.
        slot: See `Engine.submit`.
        ready_time: Value of `time.monotonic()` before which it waits.

    Attributes:
        error: The error that ended it.
        is_complete: Whether all of the work was done.
    """

    def __init__(
        self,
        engine: Engine[Model],
        priority: Priority,
        work: Work[Model],
        on_end: Callable[[Job[Model]], object],
        slot: Hashable,
        ready_time: float,
    ) -> None:
        self.priority, self.work, self.slot, self.ready_time = priority, work, slot, ready_time
        self.error: MaskletError | None = None
        self.is_complete = self.is_cancelled = False
        self.steps: Iterator[object] | None = None
        self._engine, self._on_end, self._ended = engine, on_end, threading.Event()
        self._lock, self._is_ending = threading.Lock(), False

    def cancel(self) -> None:
        """End the job before its next step. It does nothing if the job has ended."""
        self._engine.cancel(self)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the job has ended, and return whether it has."""
        return self._ended.wait(timeout_s)

    def complete(self) -> None:
        """Wait until the job has ended. Raises the error that ended it."""
        self.wait()
        if self.error is not None:
            raise self.error

    @property
    def has_ended(self) -> bool:
        """Whether the job has ended."""
        return self._ended.is_set()

    def end(self) -> None:
        """Note the end of the job, for the engine. Of two threads that do, one calls `on_end`."""
        with self._lock:
            if self._is_ending:
                return
            self._is_ending = True
        try:
            self._on_end(self)
        except Exception as error:  # noqa: BLE001 - the next job must run
            log_bug(error)
        self._ended.set()


class Engine(Generic[Model]):
    """Thread that loads a model and then runs jobs.

    The waiting job with the highest priority runs next, the one that waits longest of several. Between two steps of a
    job others may run, so that a click is predicted while a video is tracked. An exception ends its job and nothing
    else.

    Args:
        load: Loads the model. If it fails, every job ends with its error.
        on_loaded: Called in the thread after `load`, successful or not.
    """

    def __init__(self, load: Callable[[], Model], on_loaded: Callable[[], object] = lambda: None) -> None:
        self._load, self._on_loaded = load, on_loaded
        self._change, self._numbers = threading.Condition(), count()
        self._waiting: dict[int, Job[Model]] = {}  # by the order in which they were queued
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="masklet-engine")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(
        self,
        priority: Priority,
        work: Work[Model],
        *,
        on_end: Callable[[Job[Model]], object] = lambda job: None,
        slot: Hashable = None,
        delay_s: float = 0.0,
    ) -> Job[Model]:
        """Queue work.

        Args:
            priority: Its place among the waiting jobs.
            work: The work.
            on_end: Called once when the job ends: it is complete, has an error, or is cancelled.
            slot: A job cancels the job of the same slot that waits for its first step. None is no slot.
            delay_s: Seconds before which it does not run.
        """
        job = Job(self, priority, work, on_end, slot, time.monotonic() + delay_s)
        with self._change:
            replaced = [other for other in self._waiting.values() if _replaces(job, other)]
            if not self._is_stopped:
                self._waiting[next(self._numbers)] = job
            for other in [*replaced, *([job] if self._is_stopped else [])]:
                other.is_cancelled = True
            self._waiting = {number: other for number, other in self._waiting.items() if not _is_dropped(other)}
            self._change.notify_all()
        for other in [*replaced, *([job] if job.is_cancelled else [])]:
            other.end()
        return job

    def cancel(self, job: Job[Model]) -> None:
        """End a job before its next step."""
        with self._change:
            if job.has_ended:
                return
            job.is_cancelled = True
            self._waiting = {number: other for number, other in self._waiting.items() if not _is_dropped(other)}
            self._change.notify_all()
            is_dropped = _is_dropped(job)
        if is_dropped:
            job.end()

    def stop(self) -> None:
        """End the thread after the step that runs. Jobs that are not complete are cancelled."""
        with self._change:
            self._is_stopped = True
            self._change.notify_all()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(_STOP_TIMEOUT_S)

    def _run(self) -> None:
        model: Model | None = None
        failure: MaskletError | None = None
        try:
            model = self._load()
        except Exception as error:  # noqa: BLE001 - every job ends with it
            failure = _to_masklet_error(error)
        self._on_loaded()
        while (job := self._take()) is not None:
            self._advance(job, model, failure)
        for job in self._drain():
            _close(job)

    def _take(self) -> Job[Model] | None:
        """Wait for a job that can run, and take it out of the queue; None at the end."""
        with self._change:
            while not self._is_stopped:
                now = time.monotonic()
                ready = [(not job.is_cancelled, job.priority, number) for number, job in self._waiting.items()
                         if job.ready_time <= now or job.is_cancelled]  # fmt: skip
                if ready:
                    return self._waiting.pop(min(ready)[2])
                times = [job.ready_time for job in self._waiting.values()]
                self._change.wait(min(times) - now if times else None)
            return None

    def _advance(self, job: Job[Model], model: Model | None, failure: MaskletError | None) -> None:
        """Run the next step of a job, and queue the job again if it has more."""
        if failure is not None:
            job.error = failure
        elif not job.is_cancelled and self._run_step(job, model):
            with self._change:
                self._waiting[next(self._numbers)] = job
            return
        _close(job)

    def _run_step(self, job: Job[Model], model: Model | None) -> bool:
        """Return whether the job has more steps."""
        try:
            if job.steps is None:
                job.steps = job.work(model)  # type: ignore[arg-type]
                if job.steps is None:
                    job.is_complete = True
                    return False
            next(job.steps)
        except StopIteration:
            job.is_complete = True
            return False
        except Exception as error:  # noqa: BLE001 - a job must not end the thread
            job.error = _to_masklet_error(error)
            return False
        return True

    def _drain(self) -> list[Job[Model]]:
        with self._change:
            jobs, self._waiting = [*self._waiting.values()], {}
        for job in jobs:
            job.is_cancelled = True
        return jobs


def _replaces(job: Job[Model], other: Job[Model]) -> bool:
    return job.slot is not None and other.slot == job.slot and other.steps is None


def _is_dropped(job: Job[Model]) -> bool:
    """Return whether a job is cancelled before its first step, so that nothing is to be closed."""
    return job.is_cancelled and job.steps is None


def _close(job: Job[Model]) -> None:
    """Close the steps of a job, in the thread that runs them, and end the job."""
    try:
        close = getattr(job.steps, "close", None)
        if close is not None:
            close()
    except Exception as error:  # noqa: BLE001
        job.error = job.error or _to_masklet_error(error)
    job.end()


def _to_masklet_error(error: Exception) -> MaskletError:
    return error if isinstance(error, MaskletError) else log_bug(error)
