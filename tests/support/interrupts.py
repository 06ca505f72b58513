"""An interrupt at a chosen bytecode instruction, as a signal can come."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def interrupt_at(step: int, function: Callable[[], object]) -> bool:
    """Call `function` and raise `KeyboardInterrupt` in it before its `step`-th instruction, those of callees included.

    Returns:
        False if it ended before.
    """
    steps = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal steps
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_code is not caller:
            steps += 1
            if steps == step:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    def call() -> None:
        sys.settrace(trace)
        try:
            function()
        finally:
            sys.settrace(None)

    caller = call.__code__
    try:
        call()
    except KeyboardInterrupt:
        return True
    return False
