"""Review of tracked masks: the frames that a person should look at next."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.project.cells import EMPTY_MASK
from masklet.project.project import Project

Reason = Literal["low_score", "area_jump", "disappeared"]

_LOW_SCORE = 0.5
_JUMP = 2.0  # ratio of the areas of two consecutive frames
_MIN_AREA = 64  # pixels; smaller masks change by that ratio without being wrong
_REASONS: tuple[Reason, ...] = ("low_score", "area_jump", "disappeared")


class ReviewFrame(NamedTuple):
    """A frame to review, the object, and why."""

    frame: int
    object_id: int
    reason: Reason


def next_review(project: Project, medium: int, frame: int, *, backward: bool = False) -> ReviewFrame | None:
    """Find the next frame to review after a frame, or before it.

    A frame is suggested for tracked masks that are not accepted, of objects that are not hidden:

    - `low_score`: the score is below 0.5;
    - `area_jump`: the area is over twice or under half of that of the frame before;
    - `disappeared`: the object is hidden, and the frame before shows it.

    Of consecutive frames with such a mask of an object, the one with the lowest score is suggested.

    Args:
        project: The project.
        medium: The video.
        frame: The frame to start from, which is not suggested itself.
        backward: Search before the frame.

    Returns:
        The nearest suggested frame, or None.

    Raises:
        PromptError: `unknown-object`. There is no such video.
        FormatError: `project-broken`. The masks of the video cannot be read.
    """
    with project.lock:
        document = project.document
        objects = [key for key, value in document.objects_of(medium).items() if not value.hidden]
        length, areas = document.medium(medium).frames, project.masks(medium).areas()
        found = [one for key in objects for one in _list_suggestions(project, medium, key, length, areas)]
    candidates = [one for one in found if (one.frame < frame if backward else one.frame > frame)]
    return min(candidates, key=lambda one: (abs(one.frame - frame), one.object_id), default=None)


def _list_suggestions(
    project: Project, medium: int, object_id: int, length: int, areas: NDArray[np.int64]
) -> list[ReviewFrame]:
    """List the worst frame of each run of suspicious masks of an object."""
    cells = project.document.cells
    masks, scores = cells.masks(medium, object_id, length), cells.scores(medium, object_id, length)
    open_ = cells.tracked(medium, object_id, length) & ~cells.accepted(medium, object_id, length)
    if not (open_.any() and len(areas)):
        return []
    area = np.where(masks > EMPTY_MASK, areas[np.clip(masks, 0, None)], 0)
    before = np.concatenate([area[:1], area[:-1]])
    visible = area > 0
    is_large = np.maximum(area, before) >= _MIN_AREA
    ratio = np.maximum(area, before) / np.maximum(np.minimum(area, before), 1)
    by_reason = (
        (scores < _LOW_SCORE) & visible,
        visible & (before > 0) & is_large & (ratio > _JUMP),
        ~visible & (before > 0),
    )
    suspicious = open_ & np.logical_or.reduce(by_reason)
    edges = np.flatnonzero(np.diff(suspicious.astype(np.int8), prepend=0, append=0)).tolist()
    worst = [start + int(scores[start:stop].argmin()) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    return [
        ReviewFrame(t, object_id, next(name for name, is_so in zip(_REASONS, by_reason, strict=True) if is_so[t]))
        for t in worst
    ]
