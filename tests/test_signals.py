"""Signals that end a program: none is lost, wherever the program is when it comes."""

from __future__ import annotations

import os
import signal
import sys
import time
import weakref
from collections.abc import Callable

import pytest

from masklet.cli import main as command_line
from masklet.cli.main import main
from masklet.signals import END_SIGNALS, handle_signals, repeat_lost_signals

Interrupt = Callable[[int], None]


class Node:
    """An object that interrupts the process when it is finalized."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        time.sleep(0.01)  # the handler raises here


class Plain:
    """An object that can have weak references."""


def interrupt_finalizer(number: int) -> None:
    node = Node(number)
    del node


def interrupt_weak_callback(number: int) -> None:
    def interrupt(_: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(0.01)

    plain = Plain()
    reference = weakref.ref(plain, interrupt)
    del plain
    assert reference() is None


@pytest.fixture(params=[interrupt_finalizer, interrupt_weak_callback])
def interrupt(request: pytest.FixtureRequest) -> Interrupt:
    chosen: Interrupt = request.param
    return chosen


def wait_for_signal() -> None:
    time.sleep(60.0)
    pytest.fail("the signal was lost")


@pytest.mark.parametrize("number", END_SIGNALS)
def test_a_signal_in_a_finalizer_is_repeated(
    number: int, interrupt: Interrupt, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(*_: object) -> int:
        interrupt(number)
        wait_for_signal()
        return 0

    monkeypatch.setattr(command_line, "_call", work)
    assert main([]) == 128 + number
    assert "Traceback" not in capsys.readouterr().err


def test_a_signal_in_the_last_finalizer_comes_before_the_end(interrupt: Interrupt) -> None:
    with pytest.raises(KeyboardInterrupt), repeat_lost_signals():
        interrupt(signal.SIGINT)


def test_many_lost_signals(interrupt: Interrupt) -> None:
    for _ in range(20):
        with pytest.raises(KeyboardInterrupt), repeat_lost_signals():
            interrupt(signal.SIGINT)
            interrupt(signal.SIGINT)
            wait_for_signal()


class Faulty:
    """An object whose finalizer fails."""

    def __del__(self) -> None:
        raise ValueError("faulty")


def test_other_dropped_errors_are_reported_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: dropped.append(one.exc_value))
    with repeat_lost_signals():
        faulty = Faulty()
        del faulty
    assert [str(error) for error in dropped] == ["faulty"]
    hook = sys.unraisablehook
    assert hook.__name__ == "<lambda>"


def test_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in END_SIGNALS]
    with handle_signals(lambda *_: None):
        assert [signal.getsignal(number) for number in END_SIGNALS] != before
    assert [signal.getsignal(number) for number in END_SIGNALS] == before
