"""Tracking of a project's objects: a plan is run, and each frame's masks become cells when they arrive."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import nsmallest
from itertools import pairwise

from masklet.masks.postprocessing import NO_POSTPROCESSING, PostProcessing
from masklet.masks.tracked_frame import TrackedFrame
from masklet.project.cells import Cell, CellKey
from masklet.project.project import ActionGroup, Project
from masklet.project.tracking_plan import Spans, TrackingPlan, is_in, list_given_masks, plan_retracking, plan_tracking
from masklet.prompts import Prompt, absent, mask
from masklet.segmenter import Segmenter
from masklet.tracking.propagate import need_nothing, propagate
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import VisitedFrame
from masklet.video import Video

__all__ = ["TrackingPlan", "plan_retracking", "plan_tracking", "run_tracking"]

_MAX_GIVEN = 8  # masks of an object that a frame recalls, those of the nearest frames
_MAX_GAP = 16  # frames; shorter gaps between visited frames are decoded without seeking


def run_tracking(
    model: Segmenter,
    video: Video,
    project: Project,
    plan: TrackingPlan,
    *,
    postprocessing: PostProcessing = NO_POSTPROCESSING,
    stop: Callable[[], bool] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Iterator[TrackedFrame]:
    """Track objects through the frames of a plan, and store the masks of each frame before it is yielded.

    Frames are tracked forward, then backward, each with a new tracker that starts from the masks in the project (see
    `docs/decisions/0010`). All changes are one group, which one undo reverts. Cells that were annotated or accepted
    meanwhile are not overwritten. Tracking ends if the group is undone, and an object that is removed or locked is not
    tracked further. Memory does not grow with the number of frames.

    Args:
        model: The model.
        video: The opened video of the plan.
        project: The project.
        plan: The plan, of this state of the project.
        postprocessing: Hole filling, removal of islands, and separation of objects.
        stop: Called before each frame. Tracking ends if it returns true.
        progress: Called with the number of frames done, of `plan.visit_count`.

    Yields:
        Each visited frame, with the masks that were planned.

    Raises:
        VideoError: The video cannot be read.
        FormatError: `project-broken`. A mask from which an object starts cannot be read.
        ResourceError: The log cannot be written.
    """
    done = 0
    with project.group() as group:
        for direction in (1, -1):
            one = _Pass(model, video, project, plan, direction, group, postprocessing)
            report = None if progress is None else partial(_report_sum, progress, done)
            for frame in one.track(stop, report):
                done += 1
                yield frame


@dataclass(slots=True)
class _ObjectRun:
    """An object in one direction.

    Attributes:
        object_id: The object.
        first: The frame that is tracked first.
        last: The frame that is tracked last.
        spans: The frames that are tracked, ascending.
        given: Numbers of the masks to start from, by frame, ascending; None where the object is absent.
        prompted: The frames whose masks the tracker has.
    """

    object_id: int
    first: int
    last: int
    spans: Spans
    given: dict[int, int | None]
    prompted: set[int] = field(default_factory=set)

    def select_given(self, frame: int) -> set[int]:
        """Return the frames whose masks a frame recalls."""
        frames = [*self.given]
        position = bisect_left(frames, frame)
        near = frames[max(0, position - _MAX_GIVEN) : position + _MAX_GIVEN]
        return {*nsmallest(_MAX_GIVEN, near, key=lambda t: abs(frame - t))}


class _Pass:
    """Tracking of a plan in one direction."""

    def __init__(
        self,
        model: Segmenter,
        video: Video,
        project: Project,
        plan: TrackingPlan,
        direction: int,
        group: ActionGroup,
        postprocessing: PostProcessing,
    ) -> None:
        self._video, self._project, self._group, self._direction = video, project, group, direction
        self._medium = plan.medium
        self._visited = plan.visited(direction)
        self._store = project.masks(plan.medium)
        self._revises = model.memory.revises
        self._tracker: Tracker = model.tracker(video, postprocessing=postprocessing)
        self._waiting = {run.object_id: run for run in self._list_runs(plan)}
        self._active: dict[int, _ObjectRun] = {}

    def track(
        self, stop: Callable[[], bool] | None, progress: Callable[[int], object] | None
    ) -> Iterator[TrackedFrame]:
        """Track, store and yield the frames."""
        frames = propagate(
            self._tracker,
            self._visit(),
            before=lambda position, frame: self._prepare(position),
            needed=None if self._revises else need_nothing,
            progress=progress,
            stop=lambda: bool(stop and stop()) or self._group.undone or not (self._active or self._waiting),
        )
        last = None
        for frame in frames:
            last = frame.index
            yield self._store_masks(frame)
        if self._revises and last is not None and not self._group.undone:
            for position in self._tracker.settle(last, self._direction):
                self._store_masks(TrackedFrame(position, None, self._tracker.masks(position)))

    def _list_runs(self, plan: TrackingPlan) -> Iterator[_ObjectRun]:
        document, direction = self._project.document, self._direction
        for one in plan.objects:
            spans = one.in_direction(direction)
            if spans and one.object_id in document.objects_of(plan.medium):
                first, last = (spans[0].start, spans[-1].stop - 1)[::direction]
                given = list_given_masks(document, plan.medium, one.object_id, spans, direction)
                if any(given.values()):
                    yield _ObjectRun(one.object_id, first, last, spans, given)

    def _visit(self) -> Iterator[VisitedFrame]:
        """Decode the visited frames in order."""
        direction = self._direction
        for part in _join_near(self._visited)[::direction]:
            whole = range(part[0].start, part[-1].stop)
            self._prepare((whole.start, whole.stop - 1)[::direction][0])  # before the video is read in order
            for frame in self._video.frames(whole[::direction]):
                if is_in(frame.index, part):
                    yield VisitedFrame(frame.index, direction, frame.index, frame.time, self._video.size, frame)

    def _prepare(self, frame: int) -> None:
        """Prompt the objects that start at a frame, and end those that are finished, removed or locked."""
        known = self._project.document.objects_of(self._medium)
        for run in [*self._active.values()]:
            value = known.get(run.object_id)
            is_finished = (frame - run.last) * self._direction > 0 and not self._revises
            if is_finished or value is None or value.locked:
                del self._active[run.object_id]
                self._tracker.remove_object(run.object_id)
        for run in [*self._waiting.values()]:
            if (frame - run.first) * self._direction >= 0:
                del self._waiting[run.object_id]
                value = known.get(run.object_id)
                if value is not None and not value.locked:
                    self._active[run.object_id] = run
        self._update_prompts(frame)

    def _update_prompts(self, frame: int) -> None:
        """Give the tracker the masks nearest to a frame, and remove the others."""
        prompts: dict[int, dict[int, Prompt]] = {}
        outdated = []
        for run in self._active.values():
            selected = run.select_given(frame)
            for t in selected - run.prompted:
                prompts.setdefault(t, {})[run.object_id] = self._make_prompt(run.given[t])
            outdated += [(t, run.object_id) for t in run.prompted - selected]
            run.prompted = selected
        for t, by_object in sorted(prompts.items()):
            self._tracker.prompt(t, by_object)
        for t, object_id in outdated:
            self._tracker.remove_prompt(t, object_id)

    def _make_prompt(self, number: int | None) -> Prompt:
        return absent() if number is None else mask(self._store.read(number))

    def _store_masks(self, frame: TrackedFrame) -> TrackedFrame:
        """Store the planned masks of a frame, and return them."""
        runs = [self._active.get(object_id) for object_id in frame.masks.object_ids]
        masks = frame.masks[[k for k, run in enumerate(runs) if run is not None and is_in(frame.index, run.spans)]]
        scores = (1 - masks.uncertainty).tolist()
        numbers = [self._store.add_counts(code["counts"]) for code in masks.to_rle()]
        cells = {
            (self._medium, object_id, frame.index): Cell(number, score, "track")
            for object_id, number, score in zip(masks.object_ids, numbers, scores, strict=True)
        }
        with self._project.lock:
            self._project.act("track", cells=self._drop_protected(cells), group=self._group)
        warnings = tuple(warning for warning in frame.warnings if warning.object_id in masks.object_ids)
        return replace(frame, masks=masks, warnings=warnings)

    def _drop_protected(self, cells: dict[CellKey, Cell]) -> dict[CellKey, Cell]:
        """Leave out cells that were annotated or accepted, and those of objects that were removed or locked."""
        document = self._project.document
        objects = document.objects_of(self._medium)
        free: dict[CellKey, Cell] = {}
        for key, cell in cells.items():
            now, value = document.cells.get(*key), objects.get(key[1])
            if value is not None and not value.locked and (now is None or not now.protected):
                free[key] = cell
        return free


def _report_sum(progress: Callable[[int], object], before: int, count: int) -> None:
    progress(before + count)


def _join_near(spans: Spans) -> list[list[range]]:
    """Group spans with small gaps between them."""
    groups: list[list[range]] = [[span] for span in spans[:1]]
    for before, span in pairwise(spans):
        if span.start - before.stop <= _MAX_GAP:
            groups[-1].append(span)
        else:
            groups.append([span])
    return groups
