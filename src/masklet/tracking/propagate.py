"""Propagation of prompts through a video or a stream, and the schedule of prompts."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from masklet.errors import PromptError
from masklet.masks.tracked_frame import TrackedFrame
from masklet.prompts import Prompt, Prompts, check_integer, group_by_object
from masklet.tracking.memory_bank import find_unreachable
from masklet.tracking.tracker import Tracker

if TYPE_CHECKING:
    from masklet.tracking.traversal import Traversal
    from masklet.video import Frame, Video

Schedule: TypeAlias = Mapping[int, Mapping[int, Prompt]]
"""Prompts by frame, then by object: `{frame: {object_id: prompt}}`."""

PromptsByFrame: TypeAlias = Mapping[int, Mapping[int, Prompt] | Sequence[Prompt]]
"""A `Schedule` in which a list of prompts may stand for objects 1, 2, …"""


def propagate(tracker: Tracker, video: Video, schedule: Schedule, traversal: Traversal) -> Iterator[TrackedFrame]:
    """Prompt every scheduled frame, then track all objects through the frames of a traversal.

    Memories and results that no later frame recalls are dropped.
    """
    for frame, prompts in sorted(schedule.items()):
        tracker.prompt(frame, prompts)
    for visit in traversal.visits(video):
        if visit.frame is not None:
            masks = tracker.step(visit.index, visit.frame.image, direction=visit.direction)
            yield TrackedFrame(visit.index, visit.time, masks)
            needed = [traversal.frames[0] + position for position in traversal.needed_back(visit)]
            drop_unreachable(tracker, visit.index, visit.direction, needed)


def track_stream(tracker: Tracker, frames: Iterable[Frame], schedule: Schedule) -> Iterator[TrackedFrame]:
    """Track forward through frames that arrive once, and prompt each scheduled frame when it arrives.

    Raises:
        PromptError: The frames end before the last scheduled one.
    """
    waiting = dict(schedule)
    for frame in frames:
        if frame.index in waiting:
            tracker.prompt(frame.index, waiting.pop(frame.index), frame.image)
        if tracker.tracks:
            yield TrackedFrame(frame.index, frame.time, tracker.step(frame.index, frame.image))
    if waiting:
        raise PromptError("unknown-frame", f"the stream ended before frame {min(waiting)}, which has a prompt")


def drop_unreachable(tracker: Tracker, frame: int, direction: int, needed: Container[int] = ()) -> None:
    """Drop memories and results that no later frame recalls, for frames that are tracked only once.

    Args:
        tracker: The tracker.
        frame: The last tracked frame.
        direction: 1 forward, −1 backward; with 0, where frames are not tracked, nothing is dropped.
        needed: Frames that are needed later. Prompted frames are always kept.
    """
    if not direction:
        return
    for track in tracker.tracks.values():
        for values in (track.recent, track.results):
            for other in find_unreachable(list(values), frame, direction):
                if other not in needed and other not in track.prompts:
                    del values[other]


def as_schedule(prompts: Prompts | PromptsByFrame, start: int = 0) -> dict[int, dict[int, Prompt]]:
    """Return prompts as a schedule, `{frame: {object_id: prompt}}`.

    Args:
        prompts: What `EmbeddedImage.predict` takes, for frame `start`, or a mapping from frame to that.
        start: Frame of prompts without a frame.

    Raises:
        PromptError: There is no prompt, an argument is not a prompt, or a frame or an object id is not an integer.
    """
    if isinstance(prompts, Mapping) and prompts and not any(isinstance(value, Prompt) for value in prompts.values()):
        by_frame: Mapping[Any, Any] = prompts
        if all(isinstance(value, Mapping | list | tuple) for value in by_frame.values()):
            return {
                check_integer(frame, "a frame"): group_by_object(value, f"track(video, {{{{{frame}: {{}}}}}})")
                for frame, value in by_frame.items()
            }
    without_frames: Any = prompts
    return {start: group_by_object(without_frames, "track(video, {})")}
