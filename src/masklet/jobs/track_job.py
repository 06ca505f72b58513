"""Tracking job: track a video, with each finished frame in a log, so that a killed job resumes with the same masks.

The tracker's state is saved beside the log from time to time. A resumed job reads the newest state and tracks the
frames that were finished after it once more, which gives the same masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, takewhile

from masklet.backend import Backend
from masklet.errors import FormatError, SettingsError
from masklet.jobs.frame_log import FrameLog
from masklet.jobs.resume import TrackerStates
from masklet.masks.postprocessing import NO_POSTPROCESSING, PostProcessing
from masklet.masks.rle_frame import RleFrame, encode_frame
from masklet.masks.tracked_frame import TrackedFrame
from masklet.memory.policy import MemoryPolicy
from masklet.memory.recent_memory import RECENT_MEMORY
from masklet.tracking.auto_tracker import AutoTracker, AutoTrackOptions
from masklet.tracking.propagate import propagate
from masklet.tracking.retention import retain_for_turn
from masklet.tracking.schedule import Schedule
from masklet.tracking.tracker import Tracker, check_settings
from masklet.tracking.traversal import Traversal, TraversedVideo
from masklet.video import Video
from masklet.views.view import WHOLE_VIEW, View

_SETTLED = {"settled": True}  # note of a log whose frames are those of the best hypotheses


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
        view: Rule that places the part of a frame in which each object is predicted.
        memory: Memory policy.
        with_edges: Store the soft edges of masks beside them, for mattes. Masks do not depend on it.

    Raises:
        SettingsError: Non-overlapping memories are combined with a view of parts of the frame or with several
            hypotheses, or automatic tracking with several hypotheses.
    """

    backend: Backend
    video: Video
    schedule: Schedule
    traversal: Traversal
    postprocessing: PostProcessing = NO_POSTPROCESSING
    carry: bool = False
    auto_track: AutoTrackOptions | None = None
    view: View = WHOLE_VIEW
    memory: MemoryPolicy = RECENT_MEMORY
    with_edges: bool = False

    def __post_init__(self) -> None:
        check_settings(self.view, self.memory, self.postprocessing)
        if self.auto_track and self.memory.revises:
            message = (
                f"automatic tracking drops objects, and {self.memory.name} would revise them; choose another memory"
            )
            raise SettingsError("bad-usage", message)

    @property
    def images(self) -> TraversedVideo:
        """The video's images by position in the traversal, which is the tracker's frame number."""
        return TraversedVideo(self.video, self.traversal)

    def start_tracker(self) -> Tracker:
        """Create the tracker before the first visit, with all prompts."""
        tracker = Tracker(
            self.backend,
            self.images,
            length=len(self.video),
            postprocessing=self.postprocessing,
            view=self.view,
            memory=self.memory,
        )
        for frame, prompts in sorted(self.schedule.items()):
            tracker.prompt(self.traversal.position_of(frame), prompts)
        return tracker


def run_job(job: TrackJob, log: FrameLog) -> Iterator[RleFrame]:
    """Track the frames that the log does not have yet, in the order of the traversal.

    Memory and disk use do not grow, since memories and results that no later frame recalls are dropped. With a memory
    policy that keeps several hypotheses, they go to the tracker's disk cache, and the frames that the best hypothesis
    at the end changes are yielded again.

    Args:
        job: The job.
        log: Its frame log. The caller appends each frame, or revises it, before it takes the next one.
    """
    _check_log(job, log)
    states = TrackerStates(log.path.parent)
    revises = job.memory.revises
    if len(log) == len(job.traversal) and (not revises or _SETTLED in log.notes):
        states.clear()
        return
    object_ids = None if job.auto_track else {key for prompts in job.schedule.values() for key in prompts}
    newest = states.read_newest(len(log), job.backend, job.images, object_ids)
    tracker, start = newest or (job.start_tracker(), 0)
    auto_tracker = AutoTracker(tracker, job.auto_track, islice(log, start)) if job.auto_track else None
    frames = propagate(
        tracker,
        job.traversal.visits(job.video, start),
        after=auto_tracker.update if auto_tracker else None,
        on_corrupt="carry" if job.carry else "skip",
        needed=None if revises else retain_for_turn(tracker, job.traversal),
        progress=lambda done: states.save_sometimes(tracker, start + done),
    )
    frames = auto_tracker.add_detections(frames) if auto_tracker else frames
    for number, frame in enumerate(frames, start=start + 1):
        if frame.index not in log:
            yield encode_frame(frame, with_edges=job.with_edges)
            assert frame.index in log, "a frame is appended to the log before the next one is taken"
        if revises and number in job.traversal.ends:
            yield from _revise(job, log, tracker, *job.traversal.ends[number])
    if revises:
        log.add_note(**_SETTLED)
    states.clear()


def _check_log(job: TrackJob, log: FrameLog) -> None:
    """Raise `FormatError` if the log has frames that are not of the job."""
    frames = {*job.traversal.frames}
    for frame in log:
        if frame.index not in frames or frame.size != job.video.size:
            message = f"{log.path} has a frame {frame.index} of {frame.size} that is not of this video"
            raise FormatError("session-broken", message, hint="--overwrite starts again, --out writes elsewhere")


def _revise(job: TrackJob, log: FrameLog, tracker: Tracker, last: int, direction: int) -> Iterator[RleFrame]:
    """Settle the hypotheses at the last position of a direction, and yield the frames that change."""
    for position in tracker.settle(last, direction):
        masks, index = tracker.masks(position), job.traversal.frames[position]
        yield encode_frame(TrackedFrame(index, job.video.times[index], masks), with_edges=job.with_edges)
        later = (job.traversal.frames[t] for t in range(position + direction, last + direction, direction))
        carried = takewhile(lambda frame: job.carry and frame.corrupt, log.read(later))
        copies = (TrackedFrame(frame.index, frame.time, masks, corrupt=True) for frame in carried)
        yield from (encode_frame(copy, with_edges=job.with_edges) for copy in copies)
