"""Saved states of a job's tracker, beside the frame log, from which the job resumes."""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from pathlib import Path

from masklet.backend import Backend
from masklet.errors import CheckpointError, InputNotFound, StateError
from masklet.files.atomic import remove_partial_files
from masklet.files.error_translation import translate_write_errors
from masklet.tracking.session_reader import read_session
from masklet.tracking.tracker import Frames, Tracker

SAVE_TIME_SHARE = 0.1  # of the time of a job that may be spent on saving states
_STATE = re.compile(r"state-(\d{1,18})\.session")


class TrackerStates:
    """Saved states of a job's tracker in a folder, named by the number of visited frames. Only the newest is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._save_time_s, self._saved_at = 0.0, time.monotonic()
        remove_partial_files(folder)

    def read_newest(
        self, finished: int, backend: Backend, video: Frames, object_ids: Collection[int] | None = None
    ) -> tuple[Tracker, int] | None:
        """Read the newest state from which the job can resume.

        A damaged state, or one of another job, is skipped, since an older one, or none, leads to the same masks.

        Args:
            finished: Number of finished frames; states after more frames are skipped.
            backend: Backend with the model.
            video: Images by position in the traversal.
            object_ids: The objects that the tracker must have; None for any.

        Returns:
            The tracker and the number of frames that it has visited; None if there is no such state.
        """
        for number, path in sorted(self._find(), reverse=True):
            if number > finished:
                continue
            try:
                tracker = read_session(path, backend, video)
            except (CheckpointError, InputNotFound, StateError):
                continue
            if object_ids is None or {*tracker.object_ids} == {*object_ids}:
                return tracker, number
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
                _remove(path)
        self._saved_at = time.monotonic()
        self._save_time_s = self._saved_at - started

    def clear(self) -> None:
        """Remove all states."""
        for _, path in self._find():
            _remove(path)

    def _find(self) -> list[tuple[int, Path]]:
        """List number and path of each state. Raises `ResourceError` if the folder was removed or renamed."""
        with translate_write_errors(self._folder):
            return [(int(name[1]), path) for path in self._folder.iterdir() if (name := _STATE.fullmatch(path.name))]


def _remove(path: Path) -> None:
    with translate_write_errors(path):
        path.unlink(missing_ok=True)
