"""Signals that end a run: it finishes its step and is saved, and then the process ends as the signal asks."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from masklet.signals import handle_signals


class StopRequest:
    """The signal that asked the run to stop.

    Attributes:
        number: Its number; 0 while there is none.
    """

    def __init__(self) -> None:
        self.number = 0

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal. A second one ends the process at once."""
        if self.number:
            _end_process(number)
        self.number = number

    def end_process(self) -> None:
        """End the process if there was a signal."""
        if self.number:
            _end_process(self.number)


@contextmanager
def delay_signals() -> Iterator[StopRequest]:
    """Note SIGINT, SIGTERM and SIGHUP while the block runs. A signal that is ignored stays ignored."""
    request = StopRequest()
    with handle_signals(request.handle):
        yield request


def _end_process(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
