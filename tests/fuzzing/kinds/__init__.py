"""The kinds of inputs, one module each. `open_targets(folder)` is a context with the targets of a kind."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from fuzzing.target import Target


@dataclass(frozen=True)
class Kind:
    """A kind of inputs.

    Attributes:
        name: Its name, and that of its module in this package.
        cpu_s: The CPU time that one check may take.
        memory_bytes: By how much the checks may enlarge the process.
    """

    name: str
    cpu_s: float = 2.0
    memory_bytes: int = 1 << 30

    def open_targets(self, folder: Path) -> AbstractContextManager[list[Target]]:
        """Make the sound files in a folder, and return the targets."""
        opened: AbstractContextManager[list[Target]] = import_module(f"fuzzing.kinds.{self.name}").open_targets(folder)
        return opened


KINDS = {
    kind.name: kind
    for kind in (
        Kind("images"),
        Kind("videos", cpu_s=10.0),
        Kind("checkpoints"),
        Kind("graphs"),
        Kind("exports"),
        Kind("annotations", cpu_s=1.0, memory_bytes=200 << 20),
        Kind("prompts", cpu_s=1.0, memory_bytes=200 << 20),
        Kind("sessions"),
        Kind("logs", cpu_s=1.0, memory_bytes=200 << 20),
        Kind("http"),
    )
}

_FAULTY = Kind("faulty", cpu_s=0.2, memory_bytes=40 << 20)


def find_kind(name: str) -> Kind:
    """Return a kind by its name, also the one that tests the fuzzer itself."""
    return _FAULTY if name == _FAULTY.name else KINDS[name]
