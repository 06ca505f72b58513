"""Masks through a video: prompt where the user did, then walk its frames."""

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

Schedule = Mapping[int, Mapping[int, Prompt]]
"""Prompts by frame, then by object: {frame: {object_id: prompt}}."""

PromptsByFrame: TypeAlias = Mapping[int, Mapping[int, Prompt] | Sequence[Prompt]]
"""A `Schedule` as a user may write it: [prompt, …] stands for objects 1, 2, …"""


def propagate(tracker: Tracker, video: Video, schedule: Schedule, traversal: Traversal) -> Iterator[TrackedFrame]:
    """Prompt every scheduled frame, then track all objects through the frames of a walk."""
    for frame, asked in sorted(schedule.items()):
        tracker.prompt(frame, asked)
    for visit in traversal.visits(video):
        if visit.frame is not None:
            masks = tracker.step(visit.index, visit.frame.image, direction=visit.direction)
            yield TrackedFrame(visit.index, visit.time, masks)
            needed = [traversal.frames[0] + place for place in traversal.needed_back(visit)]
            drop_unreachable(tracker, visit.index, visit.direction, needed)


def track_stream(tracker: Tracker, frames: Iterable[Frame], schedule: Schedule) -> Iterator[TrackedFrame]:
    """Track forward through frames that are seen once, prompting each scheduled frame when it comes."""
    waiting = dict(schedule)
    for frame in frames:
        if frame.index in waiting:
            tracker.prompt(frame.index, waiting.pop(frame.index), frame.image)
        if tracker.tracks:
            yield TrackedFrame(frame.index, frame.time, tracker.step(frame.index, frame.image))
    if waiting:
        raise PromptError("unknown-frame", f"the stream ended before frame {min(waiting)}, which has a prompt")


def drop_unreachable(tracker: Tracker, frame: int, direction: int, needed: Container[int] = ()) -> None:
    """Drop what no later frame of a walk past `frame` recalls, for walks that are not taken again; what was prompted
    stays, and what is `needed`. A walk that stands still, with `step` 0, drops nothing."""
    if not direction:
        return
    for track in tracker.tracks.values():
        for shelf in (track.recent, track.results):
            for other in find_unreachable(list(shelf), frame, direction):
                if other not in needed and other not in track.prompts:
                    del shelf[other]


def as_schedule(prompts: Prompts | PromptsByFrame, start: int = 0) -> dict[int, dict[int, Prompt]]:
    """Return prompts as a schedule, {frame: {object_id: prompt}}.

    Args:
        prompts: What `EmbeddedImage.predict` takes, for frame `start`, or a mapping from frame to that.
        start: The frame of prompts that name none.

    Raises:
        PromptError: There is no prompt, something else stands in its place, or a frame or an object id is not an
            integer.
    """
    if isinstance(prompts, Mapping) and prompts and not any(isinstance(one, Prompt) for one in prompts.values()):
        named: Mapping[Any, Any] = prompts
        if all(isinstance(one, Mapping | list | tuple) for one in named.values()):
            return {
                check_integer(frame, "a frame"): group_by_object(asked, f"track(video, {{{{{frame}: {{}}}}}})")
                for frame, asked in named.items()
            }
    flat: Any = prompts
    return {start: group_by_object(flat, "track(video, {})")}
