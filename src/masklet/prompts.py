"""What a user says about an object: clicks, a box, a mask, or several of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklet.errors import PromptError

NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT = 0, 1, 2, 3  # the released networks' point labels (reference-model §4)
MAX_POINTS = 1000  # per object and frame; attention over more costs more than it says
SLACK = 0.5  # pixels: a point this far outside the picture is on its edge


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """One object's prompt on one picture. Build it with `click`, `box` and `mask`, and join parts with `+`.

    `points` is (P, 2) float32, xy in pixels of the picture, `labels` (P,) int32: 0 negative click, 1 positive click,
    2 and 3 the corners of a box, which come first. `mask` is (H, W) bool of any size: it covers the whole picture.
    Clicks beside a mask refine it. Raises `PromptError` for a prompt that cannot be meant.
    """

    points: NDArray[np.float32]
    labels: NDArray[np.int32]
    mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        points, labels = self.points, self.labels
        if points.ndim != 2 or points.shape[1] != 2 or labels.shape != points.shape[:1]:
            raise _bad(f"points must be (P, 2) with as many labels, got {points.shape} and {labels.shape}")
        if not len(points) and self.mask is None:
            raise _bad("a prompt needs at least one click, a box or a mask")
        if len(points) > MAX_POINTS:
            raise _bad(f"at most {MAX_POINTS} points per object, got {len(points)}")
        if not np.isfinite(points).all():
            raise _bad(f"points must be finite numbers, got {points.tolist()}")
        _check_labels(labels)
        _check_box(points, labels)

    def __add__(self, other: Prompt) -> Prompt:
        """Both prompts together: the box first, then the clicks in order."""
        if self.mask is not None and other.mask is not None:
            raise _bad("a prompt takes one mask, got two; join the masks first")
        points = np.concatenate([self.points, other.points])
        labels = np.concatenate([self.labels, other.labels])
        order = np.argsort(labels < TOP_LEFT, kind="stable")  # box corners come before clicks (reference-model §8.1)
        return Prompt(points[order], labels[order], self.mask if other.mask is None else other.mask)

    @property
    def clicks(self) -> int:
        """How many points there are; a box counts as two."""
        return len(self.points)

    def within(self, size: tuple[int, int]) -> NDArray[np.float64]:
        """The points as fractions of a picture of `size` (H, W): (P, 2) float64 xy in [0, 1].

        Raises `PromptError` where a point lies outside the picture by more than half a pixel.
        """
        height, width = size
        limit = np.array([width, height], np.float64)
        points = self.points.astype(np.float64)
        outside = ((points < -SLACK) | (points > limit + SLACK)).any(axis=1)
        if outside.any():
            x, y = self.points[outside.argmax()].tolist()
            raise _bad(
                f"({x:g}, {y:g}) lies outside the picture of {width} × {height} pixels; give x, y from its top left"
            )
        return np.clip(points, 0, limit) / limit


def click(x: float, y: float, *, positive: bool = True) -> Prompt:
    """A click at pixel (x, y): on the object, or with `positive=False` on what is not the object."""
    return clicks([(x, y)], [POSITIVE if positive else NEGATIVE])


def clicks(points: ArrayLike, labels: ArrayLike | None = None) -> Prompt:
    """Several clicks: `points` (P, 2) xy in pixels, `labels` (P,) 1 on the object and 0 off it; by default all 1."""
    xy = _numbers(points, "points")
    marks = np.full(len(xy), POSITIVE) if labels is None else _numbers(labels, "labels")
    _check_labels(marks)  # before fractions are lost
    return Prompt(xy, marks.astype(np.int32))


def box(x0: float, y0: float, x1: float, y1: float) -> Prompt:
    """The object's box: left, top, right, bottom in pixels."""
    return Prompt(_numbers([(x0, y0), (x1, y1)], "box"), np.array([TOP_LEFT, BOTTOM_RIGHT], np.int32))


def mask(array: Any) -> Prompt:
    """A mask (H, W) of any size and dtype that covers the whole picture.

    Booleans are taken as they are; whole numbers are the object where they are not 0; fractions in [0, 1] where they
    are at least 0.5. Raises `PromptError` for other shapes, for numbers outside that range and for an empty mask.
    """
    values = np.asarray(array)
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2 or 0 in values.shape:
        raise PromptError("mask-shape", f"a mask prompt must be (H, W), got shape {np.shape(array)}")
    found = _as_bool(values)
    if not found.any():
        size = f"{values.shape[1]} × {values.shape[0]}"
        raise _bad(f"the mask prompt of {size} pixels is empty; mark the object in it, or pass absent()")
    return Prompt(np.zeros((0, 2), np.float32), np.zeros(0, np.int32), found)


def absent() -> Prompt:
    """The object is not in this picture: an empty mask, which is taken as given and remembered."""
    return Prompt(np.zeros((0, 2), np.float32), np.zeros(0, np.int32), np.zeros((1, 1), bool))


def _as_bool(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind in "bui":
        return np.asarray(values != 0)
    if values.dtype.kind != "f":
        raise PromptError("mask-shape", f"a mask prompt must hold booleans or numbers, got {values.dtype}")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise _bad("a mask prompt of fractions must lie in [0, 1]; for logits pass `logits > 0`")
    return np.asarray(values >= 0.5)


def _numbers(values: ArrayLike | Sequence[Any], what: str) -> NDArray[np.float32]:
    try:
        return np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as cause:
        raise _bad(f"{what} must be numbers, got {values!r:.60}") from cause


def _check_labels(labels: NDArray[Any]) -> None:
    if not np.isin(labels, (NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT)).all():
        raise _bad(f"labels must be 0 (negative), 1 (positive), 2 and 3 (box corners), got {labels.tolist()}")


def _check_box(points: NDArray[np.float32], labels: NDArray[np.int32]) -> None:
    corners = [points[labels == label] for label in (TOP_LEFT, BOTTOM_RIGHT)]
    if len(corners[0]) != len(corners[1]) or len(corners[0]) > 1:
        raise _bad(f"a prompt takes at most one box of two corners, got labels {labels.tolist()}")
    if len(corners[0]):
        (x0, y0), (x1, y1) = corners[0][0].tolist(), corners[1][0].tolist()
        if not (x0 < x1 and y0 < y1):
            raise _bad(
                f"box must have x0 < x1 and y0 < y1, got ({x0:g}, {y0:g}, {x1:g}, {y1:g}); "
                "did you pass (x, y, width, height)?"
            )


def _bad(message: str) -> PromptError:
    return PromptError("bad-prompt", message)
