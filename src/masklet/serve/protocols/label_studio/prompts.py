"""Prompts of Label Studio: the items that a person draws with smart tools, as prompts of masklet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from masklet.errors import PromptError
from masklet.files.json_fields import Fields
from masklet.prompts import MAX_POINTS, Prompt, box, click

_POINTS, _RECTANGLES = ("keypointlabels", "keypoint"), ("rectanglelabels", "rectangle")


@dataclass(frozen=True, slots=True)
class DrawnPrompts:
    """The prompts of one request.

    Attributes:
        by_object: The prompts by object id, from 1.
        label: Label of the tool that drew the first item, or None.
        to_name: Name of the image or video that they were drawn on, or None.
    """

    by_object: dict[int, Prompt]
    label: str | None
    to_name: str | None


def read_items(items: Sequence[Any], size: tuple[int, int]) -> DrawnPrompts:
    """Read the key points and the rectangles of a request.

    Every rectangle begins an object, and key points belong to the rectangle before them, or to the first one. Key
    points without a rectangle are one object. A point is negative if the item has `is_positive` 0 or
    `value.positive` false. A rotated rectangle is read as its bounding box. Other items are ignored.

    Args:
        items: Regions of Label Studio, with positions in percent of the image.
        size: The image's (H, W).

    Raises:
        PromptError: `no-prompts` if there is neither a key point nor a rectangle, `bad-prompt` if one is invalid.
        FormatError: `annotation-broken`. An item lacks a field.
    """
    if len(items) > MAX_POINTS:
        raise PromptError("bad-prompt", f"at most {MAX_POINTS} items per request, got {len(items)}")
    boxes: list[Prompt] = []
    points: list[list[Prompt]] = [[]]  # those before the first rectangle, then those after each
    first: Fields | None = None
    for number, item in enumerate(items):
        fields = Fields(item, "context", ("result", number))
        kind = fields.text("type", "")
        if kind in _POINTS:
            points[-1].append(_read_point(fields, size))
        elif kind in _RECTANGLES:
            boxes.append(_read_rectangle(fields.object("value"), size))
            points.append([])
        else:
            continue
        first = first or fields
    if first is None:
        raise PromptError("no-prompts", "the request has no key point and no rectangle; draw one with a smart tool")
    first_points, *later = points
    groups = [[one, *own] for one, own in zip(boxes, later, strict=True)] or [first_points]
    if boxes:
        groups[0] += first_points
    by_object = {key: _combine(group) for key, group in enumerate(groups, start=1)}
    return DrawnPrompts(by_object, read_label(first), first.text("to_name", "") or None)


def read_label(item: Fields) -> str | None:
    """Return the label of a region: the first one of `value.keypointlabels`, `value.rectanglelabels`, …; or None."""
    value = item.get("value")
    for key in (item.text("type", ""), "labels") if isinstance(value, dict) else ():
        labels = value.get(key)
        if isinstance(labels, list) and labels and isinstance(labels[0], str):
            return labels[0]
    return None


def read_box(value: Fields, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the bounding box (x0, y0, x1, y1) in pixels of a rectangle in percent, within the image.

    Label Studio rotates a rectangle clockwise around its top left corner, by `rotation` degrees.
    """
    height, width = size
    x, y = value.number("x") * width / 100, value.number("y") * height / 100
    w, h = value.number("width") * width / 100, value.number("height") * height / 100
    angle = math.radians(value.number("rotation", 0.0))
    cos, sin = math.cos(angle), math.sin(angle)
    xs = [x + dx * cos - dy * sin for dx in (0, w) for dy in (0, h)]
    ys = [y + dx * sin + dy * cos for dx in (0, w) for dy in (0, h)]
    return max(min(xs), 0.0), max(min(ys), 0.0), min(max(xs), float(width)), min(max(ys), float(height))


def _read_point(item: Fields, size: tuple[int, int]) -> Prompt:
    value = item.object("value")
    height, width = size
    positive = value.get("positive") if "positive" in value else item.get("is_positive")
    return click(
        value.number("x") * width / 100, value.number("y") * height / 100, positive=positive is None or bool(positive)
    )


def _read_rectangle(value: Fields, size: tuple[int, int]) -> Prompt:
    return box(*read_box(value, size))


def _combine(parts: Sequence[Prompt]) -> Prompt:
    first, *others = parts
    for other in others:
        first = first + other
    return first
