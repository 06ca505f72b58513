"""Actions of the page: the clicks and boxes of all objects in order, and the prompts that they amount to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from masklet.errors import PromptError
from masklet.prompts import Prompt, box, click

_KINDS = {"click": 2, "box": 4, "clear": 0}  # number of coordinates


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that the user did.

    Attributes:
        kind: "click", "box", or "clear", which removes the earlier clicks and boxes of the object.
        object_id: The object.
        coordinates: (x, y) of a click, (x0, y0, x1, y1) of a box, in pixels of the image.
        positive: Whether a click belongs to the object.
    """

    kind: str
    object_id: int
    coordinates: tuple[float, ...] = ()
    positive: bool = True


def read_actions(records: Sequence[Mapping[str, Any]]) -> list[Action]:
    """Read the actions that a page sends, `{"kind", "object", "xy", "positive"}` each.

    Raises:
        PromptError: `bad-prompt`. A record is not an action.
    """
    return [_read_action(record) for record in records]


def group_actions(actions: Iterable[Action]) -> dict[int, tuple[Action, ...]]:
    """Return the clicks and boxes of each object that count, by object id. A new box replaces an earlier one."""
    grouped: dict[int, tuple[Action, ...]] = {}
    for action in actions:
        earlier = grouped.get(action.object_id, ())
        if action.kind == "box":
            earlier = tuple(other for other in earlier if other.kind != "box")
        grouped[action.object_id] = () if action.kind == "clear" else (*earlier, action)
    return {object_id: own for object_id, own in grouped.items() if own}


def make_prompt(actions: Iterable[Action], label: str | None = None) -> Prompt:
    """Combine the clicks and the box of an object into one prompt."""
    parts = [
        box(*action.coordinates) if action.kind == "box" else click(*action.coordinates, positive=action.positive)
        for action in actions
    ]
    prompt = parts[0]
    for part in parts[1:]:
        prompt += part
    return Prompt(prompt.points, prompt.labels, label=label)


def _read_action(record: Mapping[str, Any]) -> Action:
    kind, object_id, xy = record.get("kind"), record.get("object"), record.get("xy", ())
    if kind not in _KINDS or type(object_id) is not int or len(xy) != _KINDS[kind]:
        message = f"an action of the widget is a click, a box or a clear of an object, got {dict(record)!r:.80}"
        raise PromptError("bad-prompt", message)
    return Action(kind, object_id, tuple(map(float, xy)), bool(record.get("positive", True)))
