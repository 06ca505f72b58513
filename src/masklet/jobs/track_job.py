"""Tracking job: track a video, with each finished frame in a log, so that a killed job resumes with the same masks.

The tracker's state is saved beside the log from time to time. A resumed job reads the newest state and tracks the
frames that were finished after it once more, which gives the same masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from masklet.backend import MAX_POINTERS, Backend
from masklet.jobs.frame_log import FrameLog
from masklet.jobs.resume import TrackerStates
from masklet.masks.masks import Masks
from masklet.masks.postprocessing import NO_POSTPROCESSING, PostProcessing
from masklet.masks.rle_frame import RleFrame, encode_frame
from masklet.masks.tracked_frame import TrackedFrame
from masklet.tracking.auto_tracker import AutoTracker, AutoTrackOptions
from masklet.tracking.object_crop import check_zoom_options
from masklet.tracking.propagate import Schedule, drop_unreachable
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import Traversal, VisitedFrame
from masklet.video import Frame, Video

Follow = Callable[[VisitedFrame, Frame], Masks]


@dataclass(frozen=True, slots=True)
class TrackJob:
    """Tracking of objects through a video.

    Attributes:
        backend: Backend with the model.
        video: The video.
        schedule: Prompts by frame and object; empty with `auto_track`.
        traversal: Order in which the frames are visited; forward with `auto_track`.
        postprocessing: Post-processing of masks.
        carry: Give a frame that could not be decoded the masks of the frame before it; without, it has no masks.
        auto_track: Options of automatic tracking, or None to track the prompts.
        zoom: Side of a crop divided by the size of its object; 0 disables cropping.

    Raises:
        SettingsError: The zoom is out of range, or is combined with non-overlapping memories.
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

    def __getitem__(self, position: int) -> Any:
        """Return the image at a position of the traversal; the tracker uses the job as its video."""
        return self.video[self.traversal.frames[position]]

    def start_tracker(self) -> Tracker:
        """Create the tracker before the first visit, with all prompts."""
        tracker = Tracker(
            self.backend, self, length=len(self.video), postprocessing=self.postprocessing, zoom=self.zoom
        )
        for frame, prompts in sorted(self.schedule.items()):
            tracker.prompt(self.traversal.position_of(frame), prompts)
        return tracker

    def make_follower(self, tracker: Tracker, finished: Iterable[RleFrame]) -> Follow:
        """Return the function that tracks a visited frame, after the `finished` frames."""
        if self.auto_track is None:
            return lambda visit, frame: tracker.step(visit.position, frame.image, direction=visit.direction)
        auto_tracker = AutoTracker(tracker, self.auto_track, finished)
        return lambda visit, frame: auto_tracker.step(visit.position, frame)


def run_job(job: TrackJob, log: FrameLog) -> Iterator[RleFrame]:
    """Track the frames that the log does not have yet, in the order of the traversal.

    Memory and disk use do not grow, since memories and results that no later frame recalls are dropped.

    Args:
        job: The job.
        log: Its frame log. The caller appends each frame before it takes the next one.
    """
    states = TrackerStates(log.path.parent)
    if len(log) == len(job.traversal):
        states.clear()
        return
    tracker, start = states.read_newest(len(log), job.backend, job) or (job.start_tracker(), 0)
    follow = job.make_follower(tracker, islice(log, start))
    for number, visit in enumerate(job.traversal.visits(job.video, start), start=start + 1):
        frame = _track_frame(job, tracker, follow, visit)
        if visit.index not in log:
            yield frame
            assert visit.index in log, "a frame is appended to the log before the next one is taken"
        drop_unreachable(tracker, visit.position, visit.direction, job.traversal.needed_back(visit))
        states.save_sometimes(tracker, number)
    states.clear()


def _track_frame(job: TrackJob, tracker: Tracker, follow: Follow, visit: VisitedFrame) -> RleFrame:
    """Track one frame. A frame that could not be decoded is tracked only if it is prompted."""
    frame = visit.frame
    if frame is None or (frame.corrupt and visit.position not in job.traversal.prompted):
        masks = _find_last_masks(tracker, visit) if frame and job.carry else Masks.empty(job.video.size)
        return replace(encode_frame(TrackedFrame(visit.index, visit.time, masks)), corrupt=frame is not None)
    return replace(encode_frame(TrackedFrame(visit.index, visit.time, follow(visit, frame))), corrupt=frame.corrupt)


def _find_last_masks(tracker: Tracker, visit: VisitedFrame) -> Masks:
    """Return the masks of the nearest tracked frame before a visit."""
    positions = (visit.position - visit.direction * distance for distance in range(1, MAX_POINTERS))
    tracked = (
        position for position in positions if any(position in track.results for track in tracker.tracks.values())
    )
    return tracker.masks(next(tracked, visit.position))
