"""Session of one image layer: its tracker, its prompts, and the frames whose masks they change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from masklet.errors import MaskletError, PromptError
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame
from masklet.prompts import Prompt
from masklet.segmenter import Segmenter
from masklet.tracking.propagate import propagate
from masklet.tracking.traversal import plan_traversal

Schedule = dict[int, dict[int, Prompt]]
"""Prompts by frame, then by object."""


class Update(NamedTuple):
    """What changed prompts lead to.

    Attributes:
        masks: Masks of all objects by frame, for each frame whose prompts changed.
        error: Why a prompt could not be predicted; the others were.
    """

    masks: dict[int, Masks]
    error: MaskletError | None


class StackSession:
    """Tracks the prompted objects of a video, and corrects them: only what changed prompts affect is computed again.

    Methods may be called from any thread. One runs at a time.

    Args:
        model: The model.
        video: A `Video`; a single image is one of one frame.
    """

    def __init__(self, model: Segmenter, video: Any) -> None:
        self.model, self.video = model, video
        self._tracker = model.tracker(video)
        self._prompts: Schedule = {}
        self._lock = threading.Lock()

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of the objects that have prompts."""
        return self._tracker.object_ids

    def prompt(self, prompts: Schedule) -> Update:
        """Replace all prompts, and predict the masks of those that changed.

        Args:
            prompts: All prompts by frame and object, in pixels of the images.
        """
        with self._lock:
            changed, error = set(), None
            for frame, object_id in sorted(_list_targets(self._prompts) | _list_targets(prompts)):
                earlier = self._prompts.get(frame, {}).get(object_id)
                later = prompts.get(frame, {}).get(object_id)
                if not _are_equal(earlier, later):
                    changed.add(frame)
                    try:
                        self._replace(frame, object_id, earlier, later)
                    except MaskletError as problem:
                        error = error or problem
            empty = Masks.empty(self.video.size)
            masks = {frame: self._tracker.masks(frame) if self._tracker.tracks else empty for frame in sorted(changed)}
            return Update(masks, error)

    def track(self, stop: Callable[[], bool] | None = None) -> Iterator[TrackedFrame]:
        """Track all objects from the first prompted frame to the end, then back to the start.

        Args:
            stop: Called before each frame. Tracking ends if it returns true.

        Raises:
            StateError: `no-prompts`. No object has a prompt.
        """
        with self._lock:
            frames = [frame for frame, by_object in self._prompts.items() if by_object]
            traversal = plan_traversal(len(self.video), frames, direction="both")
            yield from propagate(self._tracker, traversal.visits(self.video), stop=stop)

    def _replace(self, frame: int, object_id: int, earlier: Prompt | None, later: Prompt | None) -> None:
        """Replace a prompt. One that only gains points refines the mask; another one is predicted from its start."""
        if earlier is not None and (later is None or not _continues(earlier, later)):
            self._tracker.remove_prompt(frame, object_id)
            del self._prompts[frame][object_id]
        if later is None:
            return
        track = self._tracker.tracks.get(object_id)
        if not later.marks_object and (track is None or frame not in track.results):
            message = f"object {object_id} has no mask on frame {frame} that negative points could refine"
            raise PromptError("bad-prompt", f"{message}; add a positive point or a box")
        self._tracker.prompt(frame, {object_id: later})
        self._prompts.setdefault(frame, {})[object_id] = later


def _list_targets(prompts: Schedule) -> set[tuple[int, int]]:
    return {(frame, object_id) for frame, by_object in prompts.items() for object_id in by_object}


def _continues(earlier: Prompt, later: Prompt) -> bool:
    """Return whether a prompt has all points of an earlier one and the same mask."""
    points = {(*point, label) for point, label in zip(later.points.tolist(), later.labels.tolist(), strict=True)}
    before = {(*point, label) for point, label in zip(earlier.points.tolist(), earlier.labels.tolist(), strict=True)}
    return before <= points and _have_equal_masks(earlier, later)


def _are_equal(one: Prompt | None, other: Prompt | None) -> bool:
    if one is None or other is None:
        return one is other
    return _continues(one, other) and _continues(other, one)


def _have_equal_masks(one: Prompt, other: Prompt) -> bool:
    if one.mask is None or other.mask is None:
        return one.mask is other.mask
    return np.array_equal(one.mask, other.mask)
