"""Warnings of a tracking job: one line each while it runs, and records for its summary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from masklet.cli import console
from masklet.errors import MaskWarning
from masklet.masks import rle
from masklet.masks.rle_frame import RleFrame
from masklet.predict.mask_checks import MaskFacts
from masklet.tracking.monitor import TrackingMonitor
from masklet.tracking.schedule import Schedule

_MAX_LINES = 10
_NOT_IN_AUTOMATIC = frozenset({"object-lost"})  # automatic tracking drops objects that leave


class WarningLines:
    """Prints the first warnings of a run, and keeps all of them for its summary."""

    def __init__(self) -> None:
        self._found: list[MaskWarning] = []
        self._lines = 0

    def note(self, warnings: Iterable[MaskWarning]) -> None:
        """Keep warnings that an earlier run has printed."""
        self._found += warnings

    def report(self, warnings: Iterable[MaskWarning]) -> None:
        """Print a line for each of the first warnings, and keep them."""
        for warning in warnings:
            self._found.append(warning)
            self._lines += 1
            if self._lines <= _MAX_LINES:
                print_warning(warning)
            elif self._lines == _MAX_LINES + 1:
                console.say("masklet: warning: there are further warnings; --json lists all")

    def to_records(self) -> list[dict[str, Any]]:
        """Return the warnings as objects of the JSON output."""
        return [warning.to_record() for warning in self._found]


class TrackingWarnings:
    """Warnings of the masks of one job.

    Args:
        schedule: Prompts by frame and object id.
        automatic: Objects are found automatically.
    """

    def __init__(self, schedule: Schedule, *, automatic: bool) -> None:
        self._schedule, self._monitor = schedule, TrackingMonitor()
        self._ignored = _NOT_IN_AUTOMATIC if automatic else frozenset()
        self._lines = WarningLines()

    def note(self, frames: Iterable[RleFrame]) -> None:
        """Check frames that an earlier run has finished, in the order in which they were tracked."""
        for frame in frames:
            self._lines.note(self._check(frame))

    def report(self, frame: RleFrame) -> None:
        """Check the next frame, and print a line for each of the first warnings."""
        self._lines.report(self._check(frame))

    def to_records(self) -> list[dict[str, Any]]:
        """Return the warnings as objects of the JSON output."""
        return self._lines.to_records()

    def _check(self, frame: RleFrame) -> list[MaskWarning]:
        if frame.corrupt or not frame.object_ids:
            return []
        facts = (MaskFacts(mask.object_id, mask.score, rle.compute_area(mask.rle)) for mask in frame)
        warnings = self._monitor.check(frame.index, frame.size, facts, self._schedule.get(frame.index, {}))
        return [warning for warning in warnings if warning.code not in self._ignored]


def print_warning(warning: MaskWarning, source: str | None = None) -> None:
    """Print a warning, with the name of its image if there are several."""
    console.say(f"masklet: warning: {f'{source}: ' if source else ''}{warning}")
