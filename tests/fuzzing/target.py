"""A target: one sort of file that is fuzzed, with sound examples, mutations of them, and the check of an input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from fuzzing.mutation import mutate_bytes
from masklet.errors import MaskletError

Mutate = Callable[[bytes, Random], bytes]

NEVER = frozenset({"internal", "output-failed", "project-closed"})
"""Codes of errors that no input may cause."""


class WrongResult(Exception):
    """A check found a result that is not right."""


@dataclass(frozen=True)
class Target:
    """One sort of file that is fuzzed.

    Attributes:
        name: Its name, and that of its folder in the corpus.
        path: Where an input is written before it is checked.
        seeds: Contents of sound files.
        check: Reads the input at `path`. Raises one of `errors`, or `WrongResult`; any other exception is a failure.
        mutate: Changes a content.
        errors: The errors that an invalid input may cause.
        is_quiet: Reading the input may open no other file, run nothing and import nothing.
    """

    name: str
    path: Path
    seeds: Sequence[bytes]
    check: Callable[[], object]
    mutate: Mutate = mutate_bytes
    errors: tuple[type[Exception], ...] = (MaskletError,)
    is_quiet: bool = False

    def draw(self, rng: Random) -> bytes:
        """Draw a mutated content."""
        return self.mutate(rng.choice(self.seeds), rng)

    def run(self, content: bytes) -> str:
        """Check a content. Returns the code of its error, or "" if it was read.

        Raises:
            Exception: The check failed.
        """
        self.path.write_bytes(content)
        return self.read()

    def read(self) -> str:
        """Check the file that is at `path`; see `run`."""
        try:
            self.check()
        except self.errors as error:
            code = str(getattr(error, "code", ""))
            if code in NEVER:
                raise
            return code
        return ""


def require(condition: object, message: str) -> None:
    """Raise `WrongResult` unless a condition holds."""
    if not condition:
        raise WrongResult(message)
