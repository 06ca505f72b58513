"""Checks that fail in every way, to test that the fuzzer notices each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fuzzing.target import Target, require
from masklet.errors import MaskletError

_SOUND = b"sound"
_hoard: list[bytes] = []


def _raise() -> None:
    raise ZeroDivisionError


def _report_bug() -> None:
    raise MaskletError("internal", "a bug in masklet")


def _use_time() -> None:
    end = time.process_time() + 0.5
    while time.process_time() < end:
        pass


def _hang() -> None:
    while True:
        pass


def _use_memory() -> None:
    _hoard.append(b"x" * (60 << 20))


def _open_another_file() -> None:
    Path(os.devnull).write_bytes(b"")


FAULTS: dict[str, Callable[[], None]] = {
    "exception": _raise,
    "bug": _report_bug,
    "wrong": lambda: require(False, "1 is not 2"),
    "slow": _use_time,
    "hang": _hang,
    "memory": _use_memory,
    "open": _open_another_file,
    "crash": os.abort,
}


@contextmanager
def open_targets(folder: Path) -> Iterator[list[Target]]:
    """Open a target for each fault. Only mutated inputs cause it."""
    yield [
        _FaultyTarget(name, folder / name, [_SOUND], fault, lambda content, rng: b"mutated", is_quiet=True)
        for name, fault in FAULTS.items()
    ]


class _FaultyTarget(Target):
    """A target whose sound input is read."""

    def read(self) -> str:
        """Check the file, unless it is sound."""
        return "" if self.path.read_bytes() == _SOUND else super().read()
