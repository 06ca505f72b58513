"""Prefetch: a thread computes a bounded number of items in advance."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")
_POLL_INTERVAL_S = 0.1  # after which a thread with a full queue checks whether it is still needed


class _Failure(NamedTuple):
    error: BaseException


class _End:
    pass


def prefetch(items: Iterator[Item], depth: int) -> Iterator[Item]:
    """Iterate over `items` while a thread computes up to `depth` of them in advance.

    An exception of `items` is raised here in its place. The thread ends when this iterator is closed or dropped.
    """
    ready: queue.Queue[Item | _Failure | _End] = queue.Queue(depth)
    dropped = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, ready, dropped), daemon=True, name="masklet-prefetch")
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        dropped.set()


def _fill(items: Iterator[Item], ready: queue.Queue[Item | _Failure | _End], dropped: threading.Event) -> None:
    def put(item: Item | _Failure | _End) -> bool:
        while not dropped.is_set():
            try:
                ready.put(item, timeout=_POLL_INTERVAL_S)
            except queue.Full:
                continue
            return True
        return False

    try:
        for item in items:
            if not put(item):
                return
    except BaseException as error:  # noqa: BLE001 - raised again in the consumer
        put(_Failure(error))
    put(_End())
