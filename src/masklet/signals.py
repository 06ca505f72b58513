"""Signals that end a program, handled in their own way for the time of a block."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

END_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C, termination and hang-up. Windows has no SIGHUP."""


@contextmanager
def handle_signals(
    handler: Callable[[int, FrameType | None], None], numbers: Sequence[int] = END_SIGNALS
) -> Iterator[None]:
    """Set a handler while the block runs, and restore those of all `END_SIGNALS` when it ends.

    A signal that is ignored, as by nohup, stays ignored. In other threads than the main one, which cannot set handlers,
    nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in END_SIGNALS}
    for number in numbers:
        if previous[number] != signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler_before in previous.items():
            signal.signal(number, handler_before)
