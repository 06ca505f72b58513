"""Annotations that a reader skips: counted by reason, and reported in one warning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from masklet.errors import FormatError, warn
from masklet.masks.tracked_frame import TrackedFrame


class SkippedAnnotations:
    """Count of the annotations that a reader skips.

    Args:
        source: The file or folder, which the warning names.
        noun: What is counted, in the singular.
    """

    def __init__(self, source: object, noun: str = "annotation") -> None:
        self._source, self._noun = source, noun
        self._counts: dict[str, int] = {}
        self._examples: dict[str, str] = {}
        self._error: FormatError | None = None
        self._is_readable = False

    def add(self, reason: str, example: str = "", error: FormatError | None = None) -> None:
        """Count an annotation that is skipped.

        Args:
            reason: A phrase that follows a number in the warning, such as "of crowds".
            example: Where it is. The warning has that of the first one.
            error: The error that is raised if the file has no annotation that can be read.
        """
        self._counts[reason] = self._counts.get(reason, 0) + 1
        self._examples.setdefault(reason, example)
        self._error = self._error or error

    def add_broken(self, error: FormatError) -> None:
        """Count an annotation that is broken."""
        self.add("broken", error.message.removeprefix(f"{self._source}").lstrip(",: "), error)

    def add_readable(self) -> None:
        """Record that at least one annotation can be read."""
        self._is_readable = True

    @contextmanager
    def catch(self) -> Iterator[None]:
        """Count a `FormatError` of the block as a broken annotation; otherwise one annotation can be read."""
        try:
            yield
        except FormatError as error:
            self.add_broken(error)
        else:
            self.add_readable()

    def require_readable(self) -> None:
        """Raise the first error if annotations are broken and none can be read."""
        if self._error is not None and not self._is_readable:
            raise self._error

    def warn(self) -> None:
        """Issue one warning with the counts, if an annotation was skipped, and begin to count anew."""
        counts, self._counts = self._counts, {}
        if counts:
            parts = [f"{count} {reason}{self._describe(reason, count)}" for reason, count in counts.items()]
            total = sum(counts.values())
            noun = self._noun + "s" * (total != 1)
            warn("annotations-skipped", f"{self._source}: skipped {total} {noun}: {'; '.join(parts)}")

    def report(self, frames: Iterator[TrackedFrame]) -> Iterator[TrackedFrame]:
        """Yield the frames that a reader makes, and issue the warning after the last one.

        Frames before the first readable annotation are held back. If all annotations are broken, the first error is
        raised, so that a broken file is not mistaken for one without objects.
        """
        held: list[TrackedFrame] = []
        try:
            for frame in frames:
                held.append(frame)
                if self._error is None or self._is_readable:
                    yield from held
                    held.clear()
            self.require_readable()
            yield from held
        except GeneratorExit:  # the caller needs no further frames
            self.warn()
            raise
        self.warn()

    def _describe(self, reason: str, count: int) -> str:
        example = self._examples[reason]
        return f" ({'the first: ' if count > 1 else ''}{example})" if example else ""
