"""Monitor of tracking: reports masks that may be wrong, each reason once for an object."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

from masklet.errors import MaskWarning
from masklet.predict.mask_checks import MAX_AREA_SHARE, MaskFacts, check_mask, name_object
from masklet.prompts import Prompt

AREA_RATIO = 7  # of an area and the median of those before it
WINDOW = 15  # frames whose areas are compared
MIN_JUMP_SHARE = 1e-3  # of the frame: the larger area of a jump


@dataclass(slots=True)
class _Object:
    """The areas of an object on the frames before, if it was found there, and the kinds of its warnings."""

    areas: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))
    found: bool = False
    may_fill_frame: bool = False
    reported: set[str] = field(default_factory=set)


class TrackingMonitor:
    """Monitor of the objects of one video. Frames are passed in the order in which they are tracked."""

    def __init__(self) -> None:
        self._objects: dict[int, _Object] = {}
        self._last: int | None = None
        self._direction = 0

    def check(
        self, frame: int, size: tuple[int, int], masks: Iterable[MaskFacts], prompts: Mapping[int, Prompt]
    ) -> tuple[MaskWarning, ...]:
        """Return the warnings of a frame that were not reported before.

        Args:
            frame: Number of the frame.
            size: (H, W) of the frame.
            masks: The masks of all objects.
            prompts: The prompts on this frame by object id.
        """
        self._note_direction(frame)
        found = []
        for facts in masks:
            known = self._objects.setdefault(facts.object_id, _Object())
            for warning in _check(known, facts, size, prompts.get(facts.object_id), frame):
                if warning.code not in known.reported:
                    known.reported.add(warning.code)
                    found.append(warning)
        return tuple(found)

    def _note_direction(self, frame: int) -> None:
        """Forget the areas where tracking turns, since the next frame does not follow the last one."""
        step = 0 if self._last is None or frame == self._last else (1 if frame > self._last else -1)
        if step and self._direction and step != self._direction:
            for known in self._objects.values():
                known.areas.clear()
                known.found = False
        self._direction, self._last = step or self._direction, frame


def _check(
    known: _Object, facts: MaskFacts, size: tuple[int, int], prompt: Prompt | None, frame: int
) -> Iterator[MaskWarning]:
    """Yield the warnings of an object on a frame, and note its area."""
    warnings = [*check_mask(facts, size, prompt, frame)]
    is_filling = facts.area > MAX_AREA_SHARE * size[0] * size[1]
    if prompt is not None:
        known.areas.clear()
        known.may_fill_frame = is_filling and not warnings
    yield from (one for one in warnings if not (known.may_fill_frame and one.code == "mask-covers-image"))
    if prompt is None:
        yield from _compare(known, facts, size, frame)
    known.found = facts.area > 0
    if facts.area:
        known.areas.append(facts.area)


def _compare(known: _Object, facts: MaskFacts, size: tuple[int, int], frame: int) -> Iterator[MaskWarning]:
    """Yield the warnings of an object that is lost or whose area jumps."""
    name = name_object(facts.object_id, frame)
    if not facts.area and known.found:
        advice = "if it is visible there or later, prompt it again on that frame"
        message = f"object {facts.object_id} is lost from frame {frame} on; {advice}"
        yield MaskWarning("object-lost", message, facts.object_id, frame)
    if not facts.area or not known.areas:
        return
    before = median(known.areas)
    smaller, larger = sorted((before, facts.area))
    if larger >= AREA_RATIO * smaller and larger >= MIN_JUMP_SHARE * size[0] * size[1]:
        ratio = f"{larger / smaller:.1f} times as {'large' if facts.area > before else 'small'}"
        advice = "check that it is the same object, and correct it with a prompt on that frame"
        message = f"{name} is {ratio} as before, {before:,.0f} → {facts.area:,} pixels; {advice}"
        yield MaskWarning("area-jump", message, facts.object_id, frame)
