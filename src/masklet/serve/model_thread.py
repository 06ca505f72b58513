"""Thread of the model: runs the work of coroutines in turns, and refuses more than may wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast

from masklet.errors import MaskletError, StateError
from masklet.http.engine import Engine, Job, Priority
from masklet.http.problems import log_bug
from masklet.segmenter import Segmenter

R = TypeVar("R")
_END: Any = object()


class ModelThread:
    """One thread with the model. Work of one step, or one step of longer work, runs at a time, in turns.

    The coroutines run on the server's event loop.

    Args:
        load: Loads the model, in the thread.
        max_waiting: Most requests that wait or are computed.
        on_loaded: Called in the thread when the model is loaded.

    Attributes:
        model: The model; None before it is loaded.
        failure: Why the model cannot be loaded.
        refused_count: Number of requests that were refused as `overloaded`.
    """

    def __init__(
        self,
        load: Callable[[], Segmenter],
        max_waiting: int,
        on_loaded: Callable[[Segmenter], object] = lambda model: None,
    ) -> None:
        self._load, self._max_waiting, self._on_loaded = load, max_waiting, on_loaded
        self.model: Segmenter | None = None
        self.failure: MaskletError | None = None
        self.refused_count = 0
        self._count, self._is_stopping = 0, False
        self._idle, self._has_loaded = asyncio.Event(), threading.Event()
        self.engine: Engine[Segmenter] = Engine(self._load_model)

    @property
    def request_count(self) -> int:
        """Number of requests that wait or are computed."""
        return self._count

    @property
    def is_stopping(self) -> bool:
        """Whether new requests are refused because the server stops."""
        return self._is_stopping

    def start(self) -> None:
        """Start the thread, which loads the model."""
        self.engine.start()

    async def drain(self, timeout_s: float) -> None:
        """Refuse new requests, and wait until those that run have ended, at most for some seconds."""
        self._is_stopping = True
        try:
            while self._count:
                self._idle.clear()
                await asyncio.wait_for(self._idle.wait(), timeout_s)
        except asyncio.TimeoutError:
            pass

    def stop(self) -> None:
        """End the thread after the step that runs."""
        self._is_stopping = True
        self.engine.stop()

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count a request for the time of a block.

        Raises:
            StateError: `overloaded`. Too many requests wait, or the server stops.
        """
        if self._is_stopping or self._count >= self._max_waiting:
            self.refused_count += 1
            reason = "the server stops" if self._is_stopping else f"{self._count} requests wait for the model"
            raise StateError("overloaded", f"{reason}; repeat the request later")
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._idle.set()

    async def call(self, work: Callable[[Segmenter], R]) -> R:
        """Run work in one step, and return its result."""
        results: list[R] = []

        def run(model: Segmenter) -> None:
            results.append(work(model))

        await self._complete(run)
        return results[0]

    async def complete(self, work: Callable[[Segmenter], Generator[Any, None, R]]) -> R:
        """Run work in steps, between which others run, and return its result."""
        results: list[R] = []

        def run(model: Segmenter) -> Iterator[object]:
            results.append((yield from work(model)))

        await self._complete(run)
        return results[0]

    async def iterate(self, work: Callable[[Segmenter], Iterator[R]]) -> AsyncGenerator[R, None]:
        """Yield the items of an iterator, which computes one in each step.

        One item is computed in advance. The iterator is closed, in the thread, when this one ends or is closed.
        """
        items: list[Iterator[R]] = []

        def advance(model: Segmenter) -> R:
            if not items:
                items.append(work(model))
            return cast("R", next(items[0], _END))

        def close(model: Segmenter) -> None:
            for one in items:
                getattr(one, "close", lambda: None)()

        pending = asyncio.ensure_future(self.call(advance))
        try:
            while (item := await pending) is not _END:
                pending = asyncio.ensure_future(self.call(advance))
                yield item
        finally:
            pending.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody waits for it
            pending.cancel()
            with suppress(StateError):  # the thread has ended
                await asyncio.shield(self.call(close))

    async def _complete(self, work: Callable[[Segmenter], Iterator[object] | None]) -> None:
        """Run a job, and raise the error that ended it. It is cancelled with the coroutine."""
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()  # so that its result can always be set

        def end(job: Job[Segmenter]) -> None:
            if job.is_complete and job.error is None:
                future.set_result(None)
            else:
                future.set_exception(
                    job.error or StateError("overloaded", "the server stops; repeat the request later")
                )

        job = self.engine.submit(Priority.PREDICTION, work, on_end=end)
        try:
            await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            job.cancel()
            raise

    def wait_until_loaded(self) -> None:
        """Wait until the model is loaded, in another thread than the event loop's. Raises why it cannot be."""
        self._has_loaded.wait()
        if self.failure is not None:
            raise self.failure

    def _load_model(self) -> Segmenter:
        try:
            model = self._load()
            self._on_loaded(model)
            self.model = model
        except Exception as error:
            self.failure = error if isinstance(error, MaskletError) else log_bug(error)
            raise self.failure from error
        finally:
            self._has_loaded.set()
        return model
