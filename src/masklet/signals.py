"""Signals that end a program, handled in their own way for the time of a block."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
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


@contextmanager
def repeat_lost_signals(delay_s: float = 0.001) -> Iterator[None]:
    """Send a signal again if Python drops the exception that its handler raises.

    Python drops exceptions that are raised in finalizers and in callbacks of weak references, which run at any time. A
    dropped `KeyboardInterrupt` or `SystemExit` would leave the program running as if there had been no signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    report, lost = sys.unraisablehook, _LostSignal(delay_s)

    def handle_dropped(dropped: sys.UnraisableHookArgs) -> None:
        number = _find_signal(dropped.exc_value)
        if number is None:
            report(dropped)
        else:
            lost.repeat(number)

    sys.unraisablehook = handle_dropped
    try:
        yield
        lost.wait()
    finally:
        sys.unraisablehook = report
        lost.cancel()


class _LostSignal:
    """A signal that is sent again after some time. Further ones until then are taken as the same."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s, self._number, self._sending = delay_s, 0, threading.Lock()

    def repeat(self, number: int) -> None:
        """Send the signal when the finalizer that lost it has ended."""
        if not self._number:
            self._number = number
            _thread.start_new_thread(self._send, ())  # `threading` takes locks that the finalizer's caller may hold

    def wait(self) -> None:
        """Wait until the signal is sent, if there is one."""
        while self._number:
            time.sleep(self._delay_s)

    def cancel(self) -> None:
        """Forget a signal that is not yet sent."""
        with self._sending:
            self._number = 0

    def _send(self) -> None:
        time.sleep(self._delay_s)
        with self._sending:
            number, self._number = self._number, 0
            if number:
                _send_to_main_thread(number)


def _find_signal(error: BaseException | None) -> int | None:
    """Return the number of the signal whose handler raised the exception, or None."""
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    numbers = {128 + number: number for number in END_SIGNALS}
    return numbers.get(error.code) if isinstance(error, SystemExit) else None


def _send_to_main_thread(number: int) -> None:
    """Send a signal to the main thread, so that it ends the call that the thread waits in. Windows has no such way."""
    main_thread = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main_thread is not None:
        signal.pthread_kill(main_thread, number)
    else:
        signal.raise_signal(number)
