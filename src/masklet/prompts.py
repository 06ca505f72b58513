"""Prompts of objects: points, a box, a mask, or several of them combined."""

from __future__ import annotations

import operator
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from masklet.errors import PromptError

NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT = 0, 1, 2, 3  # the released networks' point labels (reference-model §4)
MAX_POINTS = 1000  # per object and frame, which bounds the cost of attention
MAX_LABEL_LENGTH = 200  # characters
MARGIN_PX = 0.5  # a point up to this far outside the image is moved to its edge
EXAMPLE = "click(230, 150)"  # the prompt that an error message shows if the arguments do not suggest one
_MASK_STEP = 8  # the sides of the squares that networks take and return are multiples of it
_SHOWN = 4  # points or boxes in an error message or a repr
_NOT_IN_LABELS = ("Cc", "Cs", "Zl", "Zp")  # Unicode categories: control characters, surrogates, line separators


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """The prompt of one object in one image.

    Use `click`, `clicks`, `box`, `mask` and `absent` to make prompts, and `+` to combine them. Clicks that are combined
    with a mask refine it.

    Args:
        points: Points (P, 2) float32 xy in pixels of the image, the corners of a box first.
        labels: Labels (P,) int32 of the points: 0 negative click, 1 positive click, 2 and 3 top-left and bottom-right
            corner of a box.
        mask: A mask (H, W) bool, which covers the whole image at any resolution. An empty mask means that the object
            is absent.
        label: Label of the object, the name of its class, or None: 1 to 200 characters on one line. White space around
            it is removed.

    Raises:
        PromptError: There is neither a point nor a mask, there are over 1000 points, or a point, label or box is
            invalid.

    Example:
        >>> prompt = masklet.box(40, 20, 420, 290) + masklet.click(230, 150) + masklet.click(60, 40, positive=False)
    """

    points: NDArray[np.float32]
    labels: NDArray[np.int32]
    mask: NDArray[np.bool_] | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.label is not None:
            object.__setattr__(self, "label", check_label(self.label))
        points, labels = self.points, self.labels
        if points.ndim != 2 or points.shape[1] != 2 or labels.shape != points.shape[:1]:
            raise _error(f"points must be (P, 2) with as many labels, got {points.shape} and {labels.shape}")
        if not len(points) and self.mask is None:
            raise _error("a prompt needs at least one click, a box or a mask")
        if len(points) > MAX_POINTS:
            raise _error(f"at most {MAX_POINTS} points per object, got {len(points)}")
        if not np.isfinite(points).all():
            raise _error(f"points must be finite numbers, got {points.tolist()}")
        _check_labels(labels)
        _check_box(points, labels)

    def __repr__(self) -> str:
        corners, is_click = self.points[self.labels >= TOP_LEFT], self.labels < TOP_LEFT
        parts = [_write_box(corners.ravel().tolist())] if len(corners) else []
        if np.count_nonzero(is_click) > _SHOWN:
            parts.append(f"{np.count_nonzero(is_click)} clicks")
        else:
            parts += [
                _write_click(*pair) for pair in zip(self.points[is_click].tolist(), self.labels[is_click], strict=True)
            ]
        if self.mask is not None:
            parts.append(f"mask {self.mask.shape}" if self.mask.any() else "absent()")
        label = "" if self.label is None else f", label={self.label!r}"
        return f"Prompt({' + '.join(parts)}{label})"

    def __add__(self, other: Prompt) -> Prompt:
        """Combine two prompts: the box first, then the clicks in order.

        Raises:
            PromptError: Both have a box, both have a mask, or both have a label and the labels differ.
            TypeError: `other` is not a prompt.
        """
        if not isinstance(other, Prompt):
            return NotImplemented
        if self.label and other.label and self.label != other.label:
            raise _error(f"a prompt takes one label, got {self.label!r} and {other.label!r}")
        if self.mask is not None and other.mask is not None:
            raise _error("a prompt takes one mask, got two; combine the masks first")
        points = np.concatenate([self.points, other.points])
        labels = np.concatenate([self.labels, other.labels])
        order = np.argsort(labels < TOP_LEFT, kind="stable")  # box corners come before clicks (reference-model §8.1)
        mask = self.mask if other.mask is None else other.mask
        return Prompt(points[order], labels[order], mask, self.label or other.label)

    @property
    def marks_object(self) -> bool:
        """Whether the prompt has a positive point, a box or a mask, and not only negative points."""
        return self.mask is not None or bool(np.any(self.labels != NEGATIVE))

    @property
    def point_count(self) -> int:
        """Number of points; a box counts as two."""
        return len(self.points)

    def check_fits(self, size: tuple[int, int]) -> None:
        """Check that the prompt can be of an image of `size` (H, W).

        Raises:
            PromptError: `bad-prompt`. A point lies outside the image by more than half a pixel. `mask-shape`. The mask
                is of an image of other proportions.
        """
        self.normalize_points(size)
        if self.mask is None or _has_proportions(self.mask.shape, size) or not self.mask.any():
            return
        (height, width), (mask_height, mask_width) = size, self.mask.shape
        message = f"a mask of {mask_width} × {mask_height} pixels does not fit an image of {width} × {height}"
        raise PromptError("mask-shape", f"{message}; pass a mask of the whole image, in its proportions")

    def normalize_points(self, size: tuple[int, int]) -> NDArray[np.float64]:
        """Convert the points to fractions of an image.

        Args:
            size: Size (H, W) of the image.

        Returns:
            Points (P, 2) float64 xy in [0, 1].

        Raises:
            PromptError: A point lies outside the image by more than half a pixel.
        """
        height, width = size
        limit = np.array([width, height], np.float64)
        points = self.points.astype(np.float64)
        outside = ((points < -MARGIN_PX) | (points > limit + MARGIN_PX)).any(axis=1)
        if outside.any():
            x, y = self.points[outside.argmax()].tolist()
            message = f"({x:g}, {y:g}) lies outside the image of {width} × {height} pixels"
            raise _error(f"{message}; pass x, y from its top-left corner")
        return np.clip(points, 0, limit) / limit


Prompts: TypeAlias = Prompt | Sequence[Prompt] | Mapping[int, Prompt]
"""One prompt for object 1, several for objects 1, 2, …, or `{object_id: prompt}`."""


def click(x: float, y: float, *, positive: bool = True, label: str | None = None) -> Prompt:
    """Make a prompt of one click.

    Args:
        x: Pixels from the left edge of the image.
        y: Pixels from the top edge.
        positive: Whether the point belongs to the object. False excludes it.
        label: Label of the object, the name of its class.

    Returns:
        The prompt, which can be combined with others by `+`.

    Raises:
        PromptError: `bad-prompt`. A coordinate is not a finite number, or the label is invalid.

    Example:
        >>> prompt = masklet.click(230, 150, label="cup") + masklet.click(60, 40, positive=False)
    """
    return clicks([(x, y)], [POSITIVE if positive else NEGATIVE], label=label)


def clicks(points: ArrayLike, labels: ArrayLike | None = None, *, label: str | None = None) -> Prompt:
    """Make a prompt of several clicks.

    Args:
        points: Points (P, 2) xy in pixels of the image, 1 ≤ P ≤ 1000.
        labels: Labels (P,): 1 for points of the object, 0 for points that do not belong to it. By default all 1.
        label: Label of the object, the name of its class.

    Returns:
        The prompt, which can be combined with others by `+`.

    Raises:
        PromptError: `bad-prompt`. A point or a label is invalid, or the numbers of points and labels differ.

    Example:
        >>> prompt = masklet.clicks([(230, 150), (60, 40)], [1, 0])
    """
    xy = _to_numbers(points, "points")
    numbers = np.full(len(xy), POSITIVE) if labels is None else _to_numbers(labels, "labels")
    _check_labels(numbers)  # before they become integers
    return Prompt(xy, numbers.astype(np.int32), label=label)


def box(x0: float, y0: float, x1: float, y1: float, *, label: str | None = None) -> Prompt:
    """Make a prompt of a bounding box.

    Args:
        x0: Left edge in pixels of the image.
        y0: Top edge.
        x1: Right edge, greater than `x0`.
        y1: Bottom edge, greater than `y0`.
        label: Label of the object, the name of its class.

    Returns:
        The prompt, which can be combined with clicks by `+`.

    Raises:
        PromptError: `bad-prompt`. A coordinate is not a finite number, the edges are not in order, or the label is
            invalid.

    Example:
        >>> prompt = masklet.box(40, 20, 420, 290)
    """
    corners = np.array([TOP_LEFT, BOTTOM_RIGHT], np.int32)
    return Prompt(_to_numbers([(x0, y0), (x1, y1)], "box"), corners, label=label)


def mask(array: Any, *, label: str | None = None) -> Prompt:
    """Make a prompt of a mask.

    Args:
        array: A mask (H, W), which covers the whole image: of its size or its proportions, or a square of the network,
            whose side is a multiple of 8. Leading axes of length 1 are removed. Booleans and whole numbers are the
            object where they are not 0, fractions in [0, 1] where they are at least 0.5.
        label: Label of the object, the name of its class.

    Returns:
        The prompt, which can be combined with clicks by `+`.

    Raises:
        PromptError: `mask-shape` for another shape or dtype; `bad-prompt` for fractions outside [0, 1], for an empty
            mask and for an invalid label.

    Example:
        >>> labels = masklet.read_mask("00000.png")
        >>> prompts = {int(k): masklet.mask(labels == k) for k in np.unique(labels) if k}
    """
    values = np.asarray(array)
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2 or 0 in values.shape:
        raise PromptError("mask-shape", f"a mask prompt must be (H, W), got shape {np.shape(array)}")
    binary = _to_bool(values)
    if not binary.any():
        size = f"{values.shape[1]} × {values.shape[0]}"
        raise _error(f"the mask prompt of {size} pixels is empty; mark the object in it, or pass absent()")
    return Prompt(np.zeros((0, 2), np.float32), np.zeros(0, np.int32), binary, label)


def absent(*, label: str | None = None) -> Prompt:
    """Make a prompt of an empty mask: the object is not in the image.

    In a video it is stored as a conditioning frame, as any prompt is.

    Args:
        label: Label of the object, the name of its class.

    Returns:
        The prompt. It cannot be combined with another mask.

    Raises:
        PromptError: `bad-prompt`. The label is invalid.

    Example:
        >>> model = masklet.load()
        >>> frames = model.track("dog.mp4", {0: {1: masklet.click(230, 150)}, 40: {1: masklet.absent()}})
    """
    return Prompt(np.zeros((0, 2), np.float32), np.zeros(0, np.int32), np.zeros((1, 1), bool), label)


def _has_proportions(mask: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Return whether a mask (h, w) covers an image (H, W): scaled and rounded, or a square of the network."""
    (h, w), (height, width) = mask, size
    is_of_network = h == w and h % _MASK_STEP == 0
    return is_of_network or abs(h * width - w * height) <= max(height, width)


def group_by_object(prompts: Prompts, call: str = "predict({})") -> dict[int, Prompt]:
    """Return the prompt of each object, by object id.

    Args:
        prompts: One prompt for object 1, several for objects 1, 2, …, or a mapping from object id to prompt.
        call: The call that received `prompts`, with `{}` in place of them, for error messages.

    Raises:
        PromptError: There is no prompt, a value is not a prompt, or an object id is not an integer.
    """
    if isinstance(prompts, Prompt):
        return {1: prompts}
    grouped = dict(prompts) if isinstance(prompts, Mapping) else dict(enumerate(_list_prompts(prompts, call), start=1))
    if not grouped:
        raise _error("no prompt given; pass at least one of click(), box() or mask()")
    return {check_integer(key, "an object id"): _check_prompt(key, value, call) for key, value in grouped.items()}


def check_integer(value: Any, what: str) -> int:
    """Return an integer key of a mapping as `int`. Raises `PromptError` for anything else, booleans included."""
    try:
        if not isinstance(value, bool | np.bool_):
            return operator.index(value)
    except TypeError:
        pass
    raise _error(f"{what} must be an integer, got {_shorten(value)}; write {{1: {EXAMPLE}}}")


def check_label(value: Any) -> str:
    """Return a label without white space around it.

    A label has 1 to 200 characters. Control characters, line separators, surrogates and noncharacters are not allowed,
    since text and XML files cannot hold them.

    Raises:
        PromptError: `bad-prompt`. The value is not such a text.
    """
    text = str(value).strip() if isinstance(value, str) else ""
    if not 0 < len(text) <= MAX_LABEL_LENGTH or any(map(_is_forbidden, text)):
        message = f"a label must be 1 to {MAX_LABEL_LENGTH} printable characters on one line, got {_shorten(value)}"
        raise _error(message)
    return text


def write_prompt(value: Any, labels: Any = None) -> str:
    """Write the prompt that numbers describe as a Python expression, or an example if they describe none."""
    numbers, label_values = _to_array(value), _to_array(labels)
    if numbers is None or not numbers.size:
        return EXAMPLE
    if numbers.shape in ((2,), (1, 2)):
        return _write_click(
            numbers.ravel().tolist(), 1 if label_values is None or label_values.size != 1 else label_values.item()
        )
    if numbers.shape in ((4,), (1, 4)):
        return _write_box(numbers.ravel().tolist())
    if numbers.ndim == 2 and numbers.shape[1] == 4 and len(numbers) <= _SHOWN:
        return f"[{', '.join(map(_write_box, numbers.tolist()))}]"
    if numbers.ndim == 2 and numbers.shape[1] == 2:
        is_short = len(numbers) <= _SHOWN and (label_values is None or label_values.shape == (len(numbers),))
        xy = f"[{', '.join(f'({x:g}, {y:g})' for x, y in numbers.tolist())}]" if is_short else "points"
        label_list = (
            f"[{', '.join(f'{label:g}' for label in label_values.tolist())}]"
            if is_short and label_values is not None
            else "labels"
        )
        return f"clicks({xy})" if label_values is None else f"clicks({xy}, {label_list})"
    return "mask(array)" if numbers.ndim >= 2 else EXAMPLE


def _list_prompts(prompts: Any, call: str) -> list[Any]:
    """List the items of a sequence that has at least one prompt."""
    if isinstance(prompts, Iterable) and not isinstance(prompts, str | bytes) and not hasattr(prompts, "__array__"):
        items = list(prompts)
        if not items or any(isinstance(item, Prompt) for item in items):
            return items
        prompts = items if not isinstance(prompts, Sequence) else prompts
    raise _error(
        f"a prompt must be made with click(), clicks(), box() or mask(), got {_shorten(prompts)}; "
        f"write {call.format(write_prompt(prompts))}"
    )


def _check_prompt(key: Any, prompt: Any, call: str) -> Prompt:
    if isinstance(prompt, Prompt):
        return prompt
    written = call.format(f"{{{key}: {write_prompt(prompt)}}}")
    raise _error(f"object {key} needs a prompt, got {_shorten(prompt)}; write {written}")


def _write_click(point: Sequence[float], label: float) -> str:
    x, y = point
    return f"click({x:g}, {y:g})" if label else f"click({x:g}, {y:g}, positive=False)"


def _write_box(corners: Sequence[float]) -> str:
    return f"box({', '.join(f'{side:g}' for side in corners)})"


def _to_array(value: Any) -> NDArray[np.float64] | None:
    try:
        return None if value is None else np.asarray(value, np.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def _shorten(value: Any) -> str:
    """Write a value on one line of at most 60 characters."""
    if hasattr(value, "shape"):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:59]}…"


def _is_forbidden(character: str) -> bool:
    return unicodedata.category(character) in _NOT_IN_LABELS or ord(character) & 0xFFFE == 0xFFFE


def _to_bool(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind in "bui":
        return np.asarray(values != 0)
    if values.dtype.kind != "f":
        raise PromptError("mask-shape", f"a mask prompt must hold booleans or numbers, got {values.dtype}")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise _error("a mask prompt of fractions must lie in [0, 1]; for logits pass `logits > 0`")
    return np.asarray(values >= 0.5)


def _to_numbers(values: ArrayLike | Sequence[Any], what: str) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # infinity is refused
            return np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as cause:
        raise _error(f"{what} must be numbers, got {values!r:.60}") from cause


def _check_labels(labels: NDArray[Any]) -> None:
    if not np.isin(labels, (NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT)).all():
        raise _error(f"labels must be 0 (negative), 1 (positive), 2 and 3 (box corners), got {labels.tolist()}")


def _check_box(points: NDArray[np.float32], labels: NDArray[np.int32]) -> None:
    corners = [points[labels == label] for label in (TOP_LEFT, BOTTOM_RIGHT)]
    if len(corners[0]) != len(corners[1]) or len(corners[0]) > 1:
        raise _error(f"a prompt takes at most one box of two corners, got labels {labels.tolist()}")
    if len(corners[0]):
        (x0, y0), (x1, y1) = corners[0][0].tolist(), corners[1][0].tolist()
        if not (x0 < x1 and y0 < y1):
            raise _error(
                f"box must have x0 < x1 and y0 < y1, got ({x0:g}, {y0:g}, {x1:g}, {y1:g}); "
                "did you pass (x, y, width, height)?"
            )


def _error(message: str) -> PromptError:
    return PromptError("bad-prompt", message)
