"""Propagation of a tracker's objects through frames: the one loop that every caller drives."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Literal, TypeAlias

from masklet.errors import VideoError
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame
from masklet.predict.mask_checks import list_facts
from masklet.tracking.monitor import TrackingMonitor
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import VisitedFrame

if TYPE_CHECKING:
    from masklet.video import Frame

OnCorrupt: TypeAlias = Literal["track", "skip", "carry", "raise"]
"""What happens at a frame that could not be decoded completely: it is tracked as it is, has no masks, or has the masks
of the nearest frame before it, or propagation ends with an error. With "skip" and "carry", a frame that was prompted
before is tracked."""

BeforeFrame: TypeAlias = "Callable[[int, Frame], object]"
AfterFrame: TypeAlias = "Callable[[int, Frame, Masks], Masks]"


def propagate(
    tracker: Tracker,
    visits: Iterable[VisitedFrame],
    *,
    before: BeforeFrame | None = None,
    after: AfterFrame | None = None,
    on_corrupt: OnCorrupt = "track",
    needed: Callable[[VisitedFrame], Container[int]] | None = None,
    progress: Callable[[int], object] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Iterator[TrackedFrame]:
    """Track all objects through frames, and yield the masks of each frame with warnings of those that may be wrong.

    Between two frames the caller may prompt the tracker, correct an object, or remove one: the next frame sees it. It
    may also close the iterator, after which the tracker has the results of the frames that were yielded.

    Args:
        tracker: The tracker. It may have no objects at first; until it has some, frames have no masks.
        visits: The frames, in the order and direction of tracking.
        before: Called with the tracker's number of each decoded frame and the frame before it is tracked, for instance
            to prompt objects on it.
        after: Called with number, frame and masks after it is tracked, for instance to correct them. It returns the
            masks to yield.
        on_corrupt: What happens at a frame that could not be decoded.
        needed: Returns the numbers of frames that will be recalled later although they are out of reach of the next
            frame. With it, memories and results are dropped once no later frame recalls them; without it all are kept,
            and any frame can be corrected.
        progress: Called with the number of frames done after each frame.
        stop: Called before each frame. Propagation ends if it returns true, which another thread may ask for.

    Raises:
        VideoError: `frame-corrupt`, with `on_corrupt="raise"`.
    """
    remaining, monitor = iter(visits), TrackingMonitor()
    for done in count(1):
        visit = None if stop and stop() else next(remaining, None)
        if visit is None:
            return
        frame = _track_frame(tracker, visit, before, after, on_corrupt)
        yield frame if visit.frame is None or frame.corrupt else _add_warnings(frame, monitor, tracker, visit.position)
        if needed:
            _drop_unreachable(tracker, visit, needed(visit))
        if progress:
            progress(done)


def need_nothing(visit: VisitedFrame) -> tuple[int, ...]:
    """Return no frames: `needed` where frames are tracked once and in one direction."""
    return ()


def _track_frame(
    tracker: Tracker, visit: VisitedFrame, before: BeforeFrame | None, after: AfterFrame | None, on_corrupt: OnCorrupt
) -> TrackedFrame:
    frame = visit.frame
    if frame is None:
        return TrackedFrame(visit.index, visit.time, Masks.empty(visit.size))
    if frame.corrupt and on_corrupt == "raise":
        raise VideoError("frame-corrupt", f"frame {visit.index} cannot be decoded; results would be wrong")
    if frame.corrupt and on_corrupt != "track" and not _is_prompted(tracker, visit):
        masks = _find_last_masks(tracker, visit) if on_corrupt == "carry" else Masks.empty(visit.size)
        return TrackedFrame(visit.index, visit.time, masks, corrupt=True)
    if before:
        before(visit.position, frame)
    masks = Masks.empty(visit.size)
    if tracker.tracks:
        masks = tracker.step(visit.position, frame.image, direction=visit.direction)
    if after:
        masks = after(visit.position, frame, masks)
    return TrackedFrame(visit.index, visit.time, masks, corrupt=frame.corrupt)


def _add_warnings(frame: TrackedFrame, monitor: TrackingMonitor, tracker: Tracker, position: int) -> TrackedFrame:
    prompts = {key: track.prompts[position] for key, track in tracker.tracks.items() if position in track.prompts}
    warnings = monitor.check(frame.index, frame.masks.size, list_facts(frame.masks), prompts)
    return replace(frame, warnings=warnings) if warnings else frame


def _is_prompted(tracker: Tracker, visit: VisitedFrame) -> bool:
    return any(visit.position in track.prompts for track in tracker.tracks.values())


def _find_last_masks(tracker: Tracker, visit: VisitedFrame) -> Masks:
    """Return the masks of the nearest tracked frame before a visit."""
    if not tracker.tracks:
        return Masks.empty(visit.size)
    before = {
        frame
        for track in tracker.tracks.values()
        for frame in track.results
        if (visit.position - frame) * visit.direction > 0
    }
    return tracker.masks(min(before, key=lambda frame: abs(visit.position - frame), default=visit.position))


def _drop_unreachable(tracker: Tracker, visit: VisitedFrame, needed: Container[int]) -> None:
    """Drop memories and results that no later frame recalls."""
    if not visit.direction:
        return
    for track in tracker.tracks.values():
        for frame in track.list_unreachable([*track.results], visit.position, visit.direction):
            if frame not in needed:
                track.drop(frame)
