"""Masks through a video: prompt where the user did, then walk its frames."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from masklet.errors import PromptError
from masklet.masks import Masks
from masklet.memory import unreachable
from masklet.prompts import Prompt
from masklet.tracker import Tracker

if TYPE_CHECKING:
    from masklet.video import Frame

Schedule = Mapping[int, Mapping[int, Prompt]]
"""Prompts by frame, then by object: {frame: {object_id: prompt}}."""


@dataclass(frozen=True, slots=True)
class TrackedFrame:
    """The masks of all objects on one frame; `time` is in seconds where the source tells it."""

    index: int
    time: float | None
    masks: Masks


def propagate(tracker: Tracker, frames: Iterable[Frame], *, step: int = 1) -> Iterator[TrackedFrame]:
    """Track every object through `frames`, which come in walking order: forward for `step` 1, backward for −1.

    Stop taking frames to cancel; call again from any frame to go on. Frames whose answers would come out the same are
    given again without being computed.
    """
    for frame in frames:
        yield TrackedFrame(frame.index, frame.time, tracker.step(frame.index, frame.image, step=step))


def stream(tracker: Tracker, frames: Iterable[Frame], schedule: Schedule) -> Iterator[TrackedFrame]:
    """Track forward through frames that are seen once, prompting each scheduled frame when it comes."""
    waiting = dict(schedule)
    for frame in frames:
        if frame.index in waiting:
            tracker.prompt(frame.index, waiting.pop(frame.index), frame.image)
        if tracker.tracks:
            yield TrackedFrame(frame.index, frame.time, tracker.step(frame.index, frame.image))
    if waiting:
        raise PromptError("unknown-frame", f"the stream ended before frame {min(waiting)}, which has a prompt")


def forget(tracker: Tracker, frame: int, step: int, needed: Container[int] = ()) -> None:
    """Drop what no later frame of a walk past `frame` recalls, for walks that are not taken again; what was prompted
    stays, and what is `needed`. A walk that stands still, with `step` 0, drops nothing."""
    if not step:
        return
    for track in tracker.tracks.values():
        for shelf in (track.recent, track.answers):
            for other in unreachable(list(shelf), frame, step):
                if other not in needed and other not in track.prompts:
                    del shelf[other]


def scheduled(prompts: Prompt | Mapping[int, Prompt] | Schedule, start: int = 0) -> dict[int, dict[int, Prompt]]:
    """What a user may write, as a schedule: one prompt, or one per object, is meant for frame `start`."""
    if isinstance(prompts, Prompt):
        return {start: {1: prompts}}
    if all(isinstance(value, Prompt) for value in prompts.values()):
        return {start: {key: value for key, value in prompts.items() if isinstance(value, Prompt)}}
    return {frame: dict(value) for frame, value in prompts.items() if isinstance(value, Mapping)}
