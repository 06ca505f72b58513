"""Fallback when a model call runs out of memory: release caches, smaller batches, no cached features."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Protocol, TypeVar
from weakref import WeakSet

from masklet.errors import ResourceError, warn

BATCH_SIZES = (8, 4, 2, 1)
"""Numbers of objects or images that are processed at once after one failure, two, and so on."""

R = TypeVar("R")


class Cache(Protocol):
    """A cache whose values can be computed again."""

    def clear(self) -> None:
        """Drop all values."""


_caches: WeakSet[Cache] = WeakSet()
_caches_lock = Lock()


def clear_at_low_memory(cache: Cache) -> None:
    """Let a cache be cleared when a model call runs out of memory. It is forgotten with its last other reference."""
    with _caches_lock:
        _caches.add(cache)


class MemoryFallback:
    """Fallback of one backend. Each step is reported by one warning, `low-memory`, and is kept for later calls.

    Args:
        release: Gives memory that the runtime reserves, but does not use, back to the device.
    """

    def __init__(self, release: Callable[[], object] = lambda: None) -> None:
        self._release = release
        self._max_batch: int | None = None
        self._largest = 1  # batch of the call that runs
        self._reported: set[str] = set()

    def limit(self, count: int) -> int:
        """Return how many of `count` objects or images the running call may process at once, at least 1."""
        batch = max(1, count if self._max_batch is None else min(count, self._max_batch))
        self._largest = max(self._largest, batch)
        return batch

    def split(self, count: int, max_batch: int | None = None) -> Iterator[slice]:
        """Yield the batches of `count` objects or images, of at most `max_batch`, that the running call processes."""
        batch = self.limit(count if max_batch is None else min(count, max_batch))
        for start in range(0, count, batch):
            yield slice(start, start + batch)

    def run(self, call: Callable[[], R]) -> R:
        """Return the result of a call, which is repeated after each step of the fallback.

        Raises:
            ResourceError: `out-of-memory`, if the call fails after the last step.
        """
        steps = self._list_steps()
        while True:
            self._largest = 1
            try:
                return call()
            except MemoryError as error:
                step = next(steps, None)
                if step is None:
                    reason = str(error) or "an allocation failed"
                    hint = "choose a smaller input size or model, or fewer objects"
                    raise ResourceError("out-of-memory", f"the memory is full: {reason}", hint=hint) from error
            except ResourceError as error:
                step = next(steps, None) if error.code == "out-of-memory" else None
                if step is None:
                    raise
            step()  # after the `except` block, since the traceback of an exception keeps arrays alive

    def _list_steps(self) -> Iterator[Callable[[], None]]:
        """Yield the steps of a call. Smaller batches are skipped if the call that failed had no larger ones."""
        yield self._release_memory
        while self._largest > 1:
            yield self._reduce_batch
        yield self._clear_caches

    def _release_memory(self) -> None:
        gc.collect()
        self._release()
        self._report("unused memory was released")

    def _reduce_batch(self) -> None:
        self._max_batch = next(size for size in BATCH_SIZES if size < self._largest)
        self._report(f"the largest batch of objects or images is {self._max_batch} from here on")

    def _clear_caches(self) -> None:
        with _caches_lock:
            caches = list(_caches)
        for cache in caches:
            cache.clear()
        gc.collect()
        self._release()
        self._report("cached features were dropped; they are computed again when they are needed")

    def _report(self, step: str) -> None:
        if step not in self._reported:
            self._reported.add(step)
            warn("low-memory", f"the memory is full: {step}")
