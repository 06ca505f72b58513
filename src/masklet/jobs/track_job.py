"""Tracking through a video that may be killed at any moment and goes on where it was, with the same masks.

Finished frames are in a journal. Beside it lies, from time to time, all that the tracker knows: a new start reads the
newest of these states and tracks the few frames again that were finished since, which changes nothing.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from masklet.backend import MAX_POINTERS, Backend
from masklet.errors import CheckpointError
from masklet.files.atomic import remove_partial_files
from masklet.jobs.frame_log import FrameLog
from masklet.masks.masks import Masks
from masklet.masks.postprocessing import NO_POSTPROCESSING, PostProcessing
from masklet.masks.rle_frame import RleFrame, encode_frame
from masklet.masks.tracked_frame import TrackedFrame
from masklet.tracking.auto_tracker import AutoTracker, AutoTrackOptions
from masklet.tracking.object_crop import check_zoom_options
from masklet.tracking.propagate import Schedule, drop_unreachable
from masklet.tracking.session_reader import read_session
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import Traversal, VisitedFrame
from masklet.video import Frame, Video

SHARE = 0.1  # of the time that may go into writing states
Follow = Callable[[VisitedFrame, Frame], Masks]
_STATE = re.compile(r"state-(\d+)\.session")


@dataclass(frozen=True, slots=True)
class TrackJob:
    """Objects prompted by `schedule`, in frames of `video`, are to be tracked along `walk` over `backend`, their masks
    treated by `cleaning`. A frame that could not be decoded has no masks, or with `carry` those of the one before it.
    With a `watch` nothing is prompted, and everything is found along a walk that goes forward. With a `zoom` objects
    are looked at in windows of their own. Raises `SettingsError` where a tracker would.
    """

    backend: Backend
    video: Video
    schedule: Schedule
    traversal: Traversal
    postprocessing: PostProcessing = NO_POSTPROCESSING
    carry: bool = False
    auto_track: AutoTrackOptions | None = None
    zoom: float = 0.0

    def __post_init__(self) -> None:
        check_zoom_options(self.zoom, self.postprocessing)

    def __getitem__(self, place: int) -> Any:
        """The picture at a place of the walk: what the tracker takes for its video."""
        return self.video[self.traversal.frames[place]]

    def make_follower(self, tracker: Tracker, finished: Iterable[RleFrame]) -> Follow:
        """What gives the masks of the next visit, after visits whose frames are `finished`."""
        if self.auto_track is None:
            return lambda visit, frame: tracker.step(visit.position, frame.image, direction=visit.direction)
        watcher = AutoTracker(tracker, self.auto_track, finished)
        return lambda visit, frame: watcher.step(visit.position, frame)


def run_job(job: TrackJob, log: FrameLog) -> Iterator[RleFrame]:
    """Every frame that the journal does not have yet, in the order of the walk.

    Whoever takes a frame appends it to the journal before asking for the next one. Neither memory nor disk grow: what
    no later frame recalls is forgotten.
    """
    states = _States(log.path.parent)
    if len(log) == len(job.traversal):
        states.clear()
        return
    tracker, start = _restored(job, states, len(log))
    follow = job.make_follower(tracker, islice(log, start))
    for number, visit in enumerate(job.traversal.visits(job.video, start), start=start + 1):
        frame = _visited(job, tracker, follow, visit)
        if visit.index not in log:
            yield frame
            assert visit.index in log, "a frame is appended to the journal before the next one is taken"
        drop_unreachable(tracker, visit.position, visit.direction, job.traversal.needed_back(visit))
        states.offer(tracker, number)
    states.clear()


def _visited(job: TrackJob, tracker: Tracker, follow: Follow, visit: VisitedFrame) -> RleFrame:
    """A frame's masks; one that could not be decoded has its own only where the user prompted it."""
    frame = visit.frame
    if frame is None or (frame.corrupt and visit.position not in job.traversal.prompted):
        masks = _before(tracker, visit) if frame and job.carry else Masks.empty(job.video.size)
        return replace(encode_frame(TrackedFrame(visit.index, visit.time, masks)), corrupt=frame is not None)
    return replace(encode_frame(TrackedFrame(visit.index, visit.time, follow(visit, frame))), corrupt=frame.corrupt)


def _before(tracker: Tracker, visit: VisitedFrame) -> Masks:
    """The masks of the nearest tracked frame before a visit."""
    near = (visit.position - visit.direction * distance for distance in range(1, MAX_POINTERS))
    known = (place for place in near if any(place in track.results for track in tracker.tracks.values()))
    return tracker.masks(next(known, visit.position))


def _restored(job: TrackJob, states: _States, finished: int) -> tuple[Tracker, int]:
    """A tracker as it was after a number of visits, all of them finished; at worst after none."""
    for number, path in sorted(states.found(), reverse=True):
        # A broken state does no harm: an older one, or none, leads to the same masks.
        with contextlib.suppress(CheckpointError):
            if number <= finished:
                return read_session(path, job.backend, job), number
    tracker = Tracker(job.backend, job, length=len(job.video), postprocessing=job.postprocessing, zoom=job.zoom)
    for frame, prompts in sorted(job.schedule.items()):
        tracker.prompt(job.traversal.position_of(frame), prompts)
    return tracker, 0


class _States:
    """The tracker's states in a folder, each named by how many visits it has behind it; only the newest is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cost, self._last = 0.0, time.monotonic()  # seconds that writing one takes, and when it was done last
        remove_partial_files(folder)

    def offer(self, tracker: Tracker, number: int) -> None:
        """Write the state if that is worth its time: at once, then so often that writing takes `SHARE` of all time."""
        started = time.monotonic()
        if (started - self._last) * SHARE < self._cost:
            return
        older = self.found()
        tracker.save(self._folder / f"state-{number}.session")
        for found, path in older:
            if found != number:
                path.unlink()
        self._last = time.monotonic()
        self._cost = self._last - started

    def found(self) -> list[tuple[int, Path]]:
        """The states that are there, by number of visits."""
        return [(int(name[1]), path) for path in self._folder.iterdir() if (name := _STATE.fullmatch(path.name))]

    def clear(self) -> None:
        """Remove all states."""
        for _, path in self.found():
            path.unlink()
