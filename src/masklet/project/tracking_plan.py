"""Tracking plans: which frames of a project's video are tracked for each object, and from which masks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import SettingsError
from masklet.project.cells import EMPTY_MASK
from masklet.project.document import Document
from masklet.tracking.traversal import Direction, check_direction

Spans = tuple[range, ...]
"""Frames as ranges with gaps between them, ascending."""


@dataclass(frozen=True, slots=True)
class ObjectPlan:
    """Frames that are tracked for one object.

    Attributes:
        object_id: The object.
        forward: Frames that are tracked forward.
        backward: Frames that are tracked backward.
    """

    object_id: int
    forward: Spans = ()
    backward: Spans = ()

    @property
    def spans(self) -> Spans:
        """All frames."""
        return _merge_spans([self.forward, self.backward])

    def in_direction(self, direction: int) -> Spans:
        """Return the frames that are tracked forward, 1, or backward, −1."""
        return self.forward if direction > 0 else self.backward


@dataclass(frozen=True, slots=True)
class TrackingPlan:
    """Frames of a video that are tracked.

    Attributes:
        medium: The video.
        objects: The objects, each with its frames. An object without frames is left out.
    """

    medium: int
    objects: tuple[ObjectPlan, ...] = ()

    @property
    def spans(self) -> Spans:
        """The frames on which at least one object is tracked."""
        return _merge_spans(plan.spans for plan in self.objects)

    @property
    def frame_count(self) -> int:
        """Number of these frames."""
        return _count(self.spans)

    @property
    def visit_count(self) -> int:
        """Number of frames that tracking visits; one that is tracked in both directions counts twice."""
        return sum(_count(self.visited(direction)) for direction in (1, -1))

    def visited(self, direction: int) -> Spans:
        """Return the frames that tracking visits forward, 1, or backward, −1."""
        return _merge_spans(plan.in_direction(direction) for plan in self.objects)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as the studio's protocol states it. Without frames, `first` and `last` are None."""
        objects = [{"object": plan.object_id, **_summarize(plan.spans)} for plan in self.objects]
        return {**_summarize(self.spans), "objects": objects}


def plan_tracking(
    document: Document,
    medium: int,
    objects: Iterable[int] | None = None,
    start: int = 0,
    stop: int | None = None,
    direction: Direction = "both",
    *,
    missing_only: bool = False,
) -> TrackingPlan:
    """Plan tracking through a range of frames.

    An object is tracked forward after its first given mask, backward before its last one, or both ways: forward after
    the first one and backward before it. Annotated and accepted frames are not tracked. Objects without a given mask
    and locked objects are left out.

    Args:
        document: The project.
        medium: The video.
        objects: The objects; None for all.
        start: First frame.
        stop: Frame to stop before; None for the end of the video.
        direction: "forward", "backward" or "both".
        missing_only: Track only frames without a cell, and not those that were tracked before.

    Raises:
        PromptError: `unknown-object`. There is no such object or video.
        SettingsError: `bad-usage`. The direction is unknown, or the range has no frames.
    """
    check_direction(direction)
    with document.lock:
        length = document.medium(medium).frames
        end = length if stop is None else min(stop, length)
        if not 0 <= start < end:
            message = f"no frames to track: start {start} and stop {stop} in a video of {length} frames"
            raise SettingsError("bad-usage", message)
        plans = []
        for object_id in _select_objects(document, medium, objects):
            state = _ObjectState(document, medium, object_id)
            if not len(state.starts):
                continue
            wanted = np.zeros(length, bool)
            wanted[start:end] = True
            wanted &= ~(state.exists if missing_only else state.protected)
            plans.append(_plan_object(object_id, wanted, state.starts, direction))
        return _make_plan(medium, plans)


def plan_retracking(document: Document, medium: int, objects: Iterable[int] | None, frame: int) -> TrackingPlan:
    """Plan to track again the frames whose masks came from a frame that was corrected.

    These are the tracked frames after it, up to the next annotated or accepted frame or the end of what was tracked,
    and those before it where no annotated or accepted frame lies before them, since they were tracked backward.

    Args:
        document: The project.
        medium: The video.
        objects: The objects that were corrected; None for all.
        frame: The corrected frame.

    Raises:
        PromptError: `unknown-object`. There is no such object or video.
    """
    with document.lock:
        plans = []
        for object_id in _select_objects(document, medium, objects):
            state = _ObjectState(document, medium, object_id)
            outdated = state.exists & ~state.protected
            after = _find_end(outdated, frame, 1)
            before = _find_end(outdated, frame, -1)
            is_from_earlier = before >= 0 and state.exists[before]
            backward = () if is_from_earlier else _spans_of_range(before + 1, frame)
            plans.append(ObjectPlan(object_id, _spans_of_range(frame + 1, after), backward))
        return _make_plan(medium, plans)


def list_given_masks(
    document: Document, medium: int, object_id: int, spans: Spans, direction: int
) -> dict[int, int | None]:
    """List the masks from which an object is tracked through frames, by frame, ascending.

    These are the masks of annotated frames, those at both ends of accepted ranges, and, where frames continue a range
    that was tracked before, the visible mask of that range which is nearest to them.

    Args:
        document: The project.
        medium: The video.
        object_id: The object.
        spans: The frames.
        direction: 1 if they are tracked forward, −1 backward.

    Returns:
        The number of the mask by frame; None where the object is absent.
    """
    with document.lock:
        state = _ObjectState(document, medium, object_id)
        given = state.given.copy()
        tracked = state.exists & ~state.protected
        for span in spans:
            tracked[span.start : span.stop] = False
        for span in spans:
            edge = span.start if direction > 0 else span.stop - 1
            end = _find_end(tracked, edge, -direction)
            continued = range(edge - direction, end, -direction)
            nearest = next((t for t in continued if state.masks[t] > EMPTY_MASK), None)
            if nearest is not None:
                given[nearest] = True
        frames = np.flatnonzero(given).tolist()
        return {t: int(state.masks[t]) if state.masks[t] > EMPTY_MASK else None for t in frames}


def _merge_spans(parts: Iterable[Spans]) -> Spans:
    """Unite frames."""
    merged: list[range] = []
    for span in sorted((span for spans in parts for span in spans), key=lambda span: span.start):
        if merged and span.start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(span.stop, merged[-1].stop))
        else:
            merged.append(span)
    return tuple(merged)


def is_in(frame: int, spans: Sequence[range]) -> bool:
    """Return whether a frame is one of `spans`, which are ascending."""
    position = bisect_right(spans, frame, key=lambda span: span.start) - 1
    return position >= 0 and frame in spans[position]


class _ObjectState:
    """What the cells of an object say about each frame of its video, arrays (frames,).

    Attributes:
        exists: There is a cell.
        protected: It is annotated or accepted.
        given: Tracking starts from its mask.
        masks: Number of its mask, −1 for none.
        starts: Frames whose given mask is visible, ascending.
    """

    def __init__(self, document: Document, medium: int, object_id: int) -> None:
        length, cells = document.medium(medium).frames, document.cells
        annotated, accepted = cells.annotated(medium, object_id, length), cells.accepted(medium, object_id, length)
        self.exists = annotated | cells.tracked(medium, object_id, length)
        self.protected = annotated | accepted
        self.given = annotated | _find_ends_of_runs(accepted)
        self.masks = cells.masks(medium, object_id, length)
        self.starts = np.flatnonzero(self.given & (self.masks > EMPTY_MASK))


def _select_objects(document: Document, medium: int, objects: Iterable[int] | None) -> list[int]:
    """Return the objects of a medium that are not locked. Raises `PromptError` for an unknown one."""
    known = document.objects_of(medium)
    selected = known if objects is None else {key: document.object_of(medium, key) for key in sorted({*objects})}
    document.medium(medium)
    return [key for key, value in selected.items() if not value.locked]


def _plan_object(
    object_id: int, wanted: NDArray[np.bool_], starts: NDArray[np.int64], direction: Direction
) -> ObjectPlan:
    first, last = int(starts[0]), int(starts[-1])
    forward, backward = wanted.copy(), wanted.copy()
    forward[: first + 1] = False
    backward[first if direction == "both" else last :] = False
    return ObjectPlan(
        object_id,
        () if direction == "backward" else _spans_of(forward),
        () if direction == "forward" else _spans_of(backward),
    )


def _make_plan(medium: int, plans: Sequence[ObjectPlan]) -> TrackingPlan:
    return TrackingPlan(medium, tuple(plan for plan in plans if plan.forward or plan.backward))


def _find_end(values: NDArray[np.bool_], frame: int, direction: int) -> int:
    """Return the first frame beyond `frame` in a direction whose value is false; −1 or the length if there is none."""
    if direction > 0:
        false = np.flatnonzero(~values[frame + 1 :])
        return frame + 1 + int(false[0]) if len(false) else len(values)
    false = np.flatnonzero(~values[: max(frame, 0)])
    return int(false[-1]) if len(false) else -1


def _find_ends_of_runs(values: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where runs of true values begin or end."""
    padded = np.concatenate([[False], values, [False]])
    return np.asarray(values & ~(padded[:-2] & padded[2:]))


def _spans_of(values: NDArray[np.bool_]) -> Spans:
    edges = np.flatnonzero(np.diff(values.astype(np.int8), prepend=0, append=0)).tolist()
    return tuple(range(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True))


def _spans_of_range(start: int, stop: int) -> Spans:
    return (range(start, stop),) if start < stop else ()


def _count(spans: Spans) -> int:
    return sum(map(len, spans))


def _summarize(spans: Spans) -> dict[str, int | None]:
    first, last = (spans[0].start, spans[-1].stop - 1) if spans else (None, None)
    return {"frames": _count(spans), "first": first, "last": last}
