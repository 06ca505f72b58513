"""Prompts from the marks that a user draws in X-AnyLabeling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from masklet.errors import PromptError
from masklet.files.json_fields import Fields
from masklet.prompts import Prompt, box, click


def read_marks(marks: Sequence[Any]) -> dict[int, Prompt]:
    """Return the prompts of marks by object.

    Each rectangle is an object, with the points inside it. The other points are one more object; if all of them are
    negative, they belong to every rectangle.

    Args:
        marks: `{"type": "point", "data": [x, y], "label": 1 or 0}` and `{"type": "rectangle", "data": [x1, y1, x2,
            y2]}`, in pixels of the image.

    Raises:
        FormatError: `annotation-broken`. A mark does not have these fields.
        PromptError: `bad-prompt`. A mark is of another type, or a rectangle has no area.
    """
    points, rectangles = _split_marks(marks)
    objects = [box(*corners) for corners in rectangles]
    others: list[Prompt] = []
    for x, y, point in points:
        inside = [n for n, (x0, y0, x1, y1) in enumerate(rectangles) if x0 <= x <= x1 and y0 <= y <= y1]
        for number in inside:
            objects[number] = objects[number] + point
        others += [] if inside else [point]
    if others and (not objects or any(point.marks_object for point in others)):
        objects.append(_combine(others))
    else:
        objects = [_combine([item, *others]) for item in objects]
    return dict(enumerate(objects, start=1))


def _split_marks(
    marks: Sequence[Any],
) -> tuple[list[tuple[float, float, Prompt]], list[tuple[float, float, float, float]]]:
    """Return the points with their places, and the corners of the rectangles in order."""
    points, rectangles = [], []
    for number, value in enumerate(marks):
        mark = Fields(value, "the request", ("marks", number))
        kind, data = mark.text("type"), mark.array("data")
        if kind not in ("point", "rectangle") or len(data) != (2 if kind == "point" else 4):
            message = (
                f"mark {number} must be a point of 2 or a rectangle of 4 numbers, got {kind[:20]!r} of {len(data)}"
            )
            raise PromptError("bad-prompt", message)
        numbers = [Fields({"data": item}, "the request", ("marks", number)).number("data") for item in data]
        if kind == "point":
            x, y = numbers
            points.append((x, y, click(x, y, positive=mark.integer("label", 1) != 0)))
        else:
            xs, ys = sorted(numbers[0::2]), sorted(numbers[1::2])
            rectangles.append((xs[0], ys[0], xs[1], ys[1]))
    return points, rectangles


def _combine(prompts: Sequence[Prompt]) -> Prompt:
    whole = prompts[0]
    for prompt in prompts[1:]:
        whole = whole + prompt
    return whole
