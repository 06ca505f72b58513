"""Work ahead in a thread, a bounded number of items far."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")


class _Fault(NamedTuple):
    error: BaseException


class _End:
    pass


def prefetch(items: Iterator[Item], depth: int) -> Iterator[Item]:
    """The same items, made in a thread that is up to `depth` items ahead. What it raises is raised here in its place.

    The thread ends when this iterator is closed or dropped.
    """
    ready: queue.Queue[Item | _Fault | _End] = queue.Queue(depth)
    dropped = threading.Event()
    worker = threading.Thread(target=_work, args=(items, ready, dropped), daemon=True, name="masklet-ahead")
    worker.start()
    try:
        while not isinstance(item := ready.get(), _End):
            if isinstance(item, _Fault):
                raise item.error
            yield item
    finally:
        dropped.set()


def _work(items: Iterator[Item], ready: queue.Queue[Item | _Fault | _End], dropped: threading.Event) -> None:
    def put(item: Item | _Fault | _End) -> bool:
        while not dropped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    try:
        for item in items:
            if not put(item):
                return
    except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
        put(_Fault(error))
    put(_End())
