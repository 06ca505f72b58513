"""What a user says about an object: clicks, a box, a mask, or several of them together."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklet.errors import PromptError

NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT = 0, 1, 2, 3  # the released networks' point labels (reference-model §4)
MAX_POINTS = 1000  # per object and frame; attention over more costs more than it says
SLACK = 0.5  # pixels: a point this far outside the picture is on its edge
EXAMPLE = "click(230, 150)"  # the prompt that an error shows where the arguments do not suggest one
_SHOWN = 4  # points or ids that an error or a repr lists
_SAM2_NAMES = ("point_coords", "points", "point_labels", "labels", "box", "boxes", "bbox", "mask_input",
               "multimask_output")  # fmt: skip

P = ParamSpec("P")
R = TypeVar("R")


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

    def __repr__(self) -> str:
        corners, on = self.points[self.labels >= TOP_LEFT], self.labels < TOP_LEFT
        parts = [_write_box(corners.ravel().tolist())] if len(corners) else []
        if np.count_nonzero(on) > _SHOWN:
            parts.append(f"{np.count_nonzero(on)} clicks")
        else:
            parts += [_write_click(*pair) for pair in zip(self.points[on].tolist(), self.labels[on], strict=True)]
        if self.mask is not None:
            parts.append(f"mask {self.mask.shape}" if self.mask.any() else "absent()")
        return f"Prompt({' + '.join(parts)})"

    def __add__(self, other: Prompt) -> Prompt:
        """Both prompts together: the box first, then the clicks in order."""
        if self.mask is not None and other.mask is not None:
            raise _bad("a prompt takes one mask, got two; join the masks first")
        points = np.concatenate([self.points, other.points])
        labels = np.concatenate([self.labels, other.labels])
        order = np.argsort(labels < TOP_LEFT, kind="stable")  # box corners come before clicks (reference-model §8.1)
        return Prompt(points[order], labels[order], self.mask if other.mask is None else other.mask)

    @property
    def point_count(self) -> int:
        """How many points there are; a box counts as two."""
        return len(self.points)

    def normalize_points(self, size: tuple[int, int]) -> NDArray[np.float64]:
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


Prompts: TypeAlias = Prompt | Sequence[Prompt] | Mapping[int, Prompt]
"""One prompt for object 1, several for objects 1, 2, …, or `{object_id: prompt}`."""


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


def group_by_object(prompts: Prompts, call: str = "predict({})") -> dict[int, Prompt]:
    """Return the prompt of each object, by object id.

    Args:
        prompts: One prompt for object 1, several for objects 1, 2, …, or a mapping from object id to prompt.
        call: The call that received `prompts`, with `{}` in place of them, for error messages.

    Raises:
        PromptError: There is no prompt, something else stands in its place, or an object id is not an integer.
    """
    if isinstance(prompts, Prompt):
        return {1: prompts}
    asked = dict(prompts) if isinstance(prompts, Mapping) else dict(enumerate(_each(prompts, call), start=1))
    if not asked:
        raise _bad("no prompt given; say what to segment with click(), box() or mask()")
    return {check_integer(key, "an object id"): _checked(key, one, call) for key, one in asked.items()}


def check_integer(value: Any, what: str) -> int:
    """Return an integer key of a mapping as `int`. Raises `PromptError` for anything else, booleans included."""
    try:
        if not isinstance(value, bool | np.bool_):
            return operator.index(value)
    except TypeError:
        pass
    raise _bad(f"{what} must be an integer, got {_shorten(value)}; write {{1: {EXAMPLE}}}")


def refuse_sam2_arguments(call: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a method that takes prompts, so that arguments as SAM 2's predictors take them raise `PromptError`.

    Args:
        call: The correct call with `{}` in place of the prompts.
    """

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        parameters = signature(method).parameters
        most = sum(one.kind is not Parameter.KEYWORD_ONLY for one in parameters.values())
        first = list(parameters).index("prompts")

        @wraps(method)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            if len(args) > most or any(name in kwargs for name in _SAM2_NAMES):
                raise _sam2_arguments(call, args[first:], kwargs)
            return method(*args, **kwargs)

        return checked

    return decorate


def _each(prompts: Any, call: str) -> list[Any]:
    """The items of a sequence of prompts, of which at least one is a prompt."""
    if isinstance(prompts, Iterable) and not isinstance(prompts, str | bytes) and not hasattr(prompts, "__array__"):
        items = list(prompts)
        if not items or any(isinstance(item, Prompt) for item in items):
            return items
        prompts = items if not isinstance(prompts, Sequence) else prompts
    raise _bad(
        f"a prompt is made with click(), clicks(), box() or mask(), got {_shorten(prompts)}; "
        f"write {call.format(_write_prompt(prompts))}"
    )


def _checked(key: Any, prompt: Any, call: str) -> Prompt:
    if isinstance(prompt, Prompt):
        return prompt
    written = call.format(f"{{{key}: {_write_prompt(prompt)}}}")
    raise _bad(f"object {key} needs a prompt, got {_shorten(prompt)}; write {written}")


def _sam2_arguments(call: str, args: Sequence[Any], named: Mapping[str, Any]) -> PromptError:
    """The error for points, labels and boxes that are given one by one, with the call that means the same."""
    given = dict(zip(("points", "labels", "box"), [one for one in args if not isinstance(one, int)], strict=False))
    for name, own in (("point_coords", "points"), ("point_labels", "labels"), ("bbox", "box"), ("boxes", "box")):
        if name in named:
            given[own] = named[name]
    given.update({name: named[name] for name in ("points", "labels", "box") if name in named})
    points, corners = given.get("points"), given.get("box")
    parts = [] if corners is None else [_write_prompt(corners)]
    if points is not None:
        parts.append("prompt" if isinstance(points, Prompt) else _write_prompt(points, given.get("labels")))
    options = "".join([
        f", multimask={named['multimask_output']!r}" if isinstance(named.get("multimask_output"), bool) else "",
        ", refine=masks" if named.get("mask_input") is not None else "",
    ])  # fmt: skip
    wrong = ", ".join(name for name in _SAM2_NAMES if name in named) or "points and labels one by one"
    written = call.format((" + ".join(parts) or EXAMPLE) + options)
    return _bad(f"{call.partition('(')[0]} takes prompts, not {wrong}; write {written}")


def _write_prompt(value: Any, labels: Any = None) -> str:
    """The Python expression of the prompt that numbers mean; an example where they mean none."""
    numbers, marks = _array(value), _array(labels)
    if numbers is None or not numbers.size:
        return EXAMPLE
    if numbers.shape in ((2,), (1, 2)):
        return _write_click(numbers.ravel().tolist(), 1 if marks is None or marks.size != 1 else marks.item())
    if numbers.shape in ((4,), (1, 4)):
        return _write_box(numbers.ravel().tolist())
    if numbers.ndim == 2 and numbers.shape[1] == 4 and len(numbers) <= _SHOWN:
        return f"[{', '.join(map(_write_box, numbers.tolist()))}]"
    if numbers.ndim == 2 and numbers.shape[1] == 2:
        few = len(numbers) <= _SHOWN and (marks is None or marks.shape == (len(numbers),))
        xy = f"[{', '.join(f'({x:g}, {y:g})' for x, y in numbers.tolist())}]" if few else "points"
        on = f"[{', '.join(f'{mark:g}' for mark in marks.tolist())}]" if few and marks is not None else "labels"
        return f"clicks({xy})" if marks is None else f"clicks({xy}, {on})"
    return "mask(array)" if numbers.ndim >= 2 else EXAMPLE


def _write_click(point: Sequence[float], label: float) -> str:
    x, y = point
    return f"click({x:g}, {y:g})" if label else f"click({x:g}, {y:g}, positive=False)"


def _write_box(corners: Sequence[float]) -> str:
    return f"box({', '.join(f'{side:g}' for side in corners)})"


def _array(value: Any) -> NDArray[np.float64] | None:
    try:
        return None if value is None else np.asarray(value, np.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def _shorten(value: Any) -> str:
    """A value on one line, at most 60 characters of it."""
    if hasattr(value, "shape"):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:59]}…"


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
