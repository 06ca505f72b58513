"""Saved states of a job's tracker, beside the frame log, from which the job resumes."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

from masklet.backend import Backend
from masklet.errors import CheckpointError
from masklet.files.atomic import remove_partial_files
from masklet.tracking.session_reader import read_session
from masklet.tracking.tracker import Frames, Tracker

SAVE_TIME_SHARE = 0.1  # of the time of a job that may be spent on saving states
_STATE = re.compile(r"state-(\d+)\.session")


class TrackerStates:
    """Saved states of a job's tracker in a folder, named by the number of visited frames. Only the newest is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._save_time_s, self._saved_at = 0.0, time.monotonic()
        remove_partial_files(folder)

    def read_newest(self, finished: int, backend: Backend, video: Frames) -> tuple[Tracker, int] | None:
        """Read the newest state from which the job can resume.

        A damaged state is skipped, since an older one, or none, leads to the same masks.

        Args:
            finished: Number of finished frames; states after more frames are skipped.
            backend: Backend with the model.
            video: Images by position in the traversal.

        Returns:
            The tracker and the number of frames that it has visited; None if there is no such state.
        """
        for number, path in sorted(self._find(), reverse=True):
            with contextlib.suppress(CheckpointError):
                if number <= finished:
                    return read_session(path, backend, video), number
        return None

    def save_sometimes(self, tracker: Tracker, number: int) -> None:
        """Save the state after `number` visited frames: the first at once, later ones within `SAVE_TIME_SHARE`."""
        started = time.monotonic()
        if (started - self._saved_at) * SAVE_TIME_SHARE < self._save_time_s:
            return
        older = self._find()
        tracker.save(self._folder / f"state-{number}.session")
        for other, path in older:
            if other != number:
                path.unlink()
        self._saved_at = time.monotonic()
        self._save_time_s = self._saved_at - started

    def clear(self) -> None:
        """Remove all states."""
        for _, path in self._find():
            path.unlink()

    def _find(self) -> list[tuple[int, Path]]:
        """List number and path of each state."""
        return [(int(name[1]), path) for path in self._folder.iterdir() if (name := _STATE.fullmatch(path.name))]
