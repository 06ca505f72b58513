"""DAM4SAM's memory: recent appearances, and frames that tell the object from similar ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from statistics import median
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.backend import MEMORY_SLOTS
from masklet.masks.connected_components import keep_largest_component
from masklet.masks.iou import masks_to_boxes
from masklet.memory.policy import Choice, MaskCandidates, MemoryPolicy, Past, Record, Selection
from masklet.memory.selection import (
    PROMPT_SLOT,
    RECENT_SLOTS,
    check_count,
    check_number,
    compute_horizon,
    iterate_window,
    list_pointers,
    list_slots,
)

_NEVER = -1  # number of frames since an addition, where there was none


class _State(NamedTuple):
    """Visibility of an object up to one frame.

    Attributes:
        visible: Whether the mask has pixels.
        resolving: Whether the frame was added to the distractor-resolving memory.
        since_addition: Number of tracked frames since the last addition, or −1.
        areas: (number of tracked frames since, area in pixels) of the last frames with pixels, newest first.
    """

    visible: bool
    resolving: bool = False
    since_addition: int = _NEVER
    areas: tuple[tuple[int, int], ...] = ()

    def to_floats(self) -> tuple[float, ...]:
        return tuple(map(float, (*self[:3], *chain.from_iterable(self.areas))))

    @staticmethod
    def from_floats(numbers: Sequence[float]) -> _State:
        if not numbers:
            return _State(visible=False)
        visible, resolving, since_addition, *areas = map(int, numbers)
        return _State(bool(visible), bool(resolving), since_addition, tuple(zip(areas[::2], areas[1::2], strict=True)))


@dataclass(frozen=True)
class Dam4SamMemory(MemoryPolicy):
    """DAM4SAM's distractor-aware memory (arXiv 2411.17576), for each object and in both directions.

    The mask with the highest predicted IoU is chosen. Seven maps are recalled, which are of two kinds.

    *Distractor-resolving memory*, without temporal position (slot 6): all prompted frames, and the last frames that
    were added to it, up to `resolving_frames` in all. A frame is added if all of these hold: the predicted IoU of its
    mask exceeds `min_iou`; its area is within `min_area_ratio` to `max_area_ratio` times the median area of the last
    `area_frames` frames with pixels, itself included, among the last `area_window` frames; the last addition was more
    than `min_interval` frames before; and there is a distractor. There is one where the largest connected component of
    another mask outside the chosen mask, together with the chosen mask, has a box whose IoU with the box of the chosen
    mask is at most `max_box_iou`.

    *Recent appearance memory*, in slots by rank: the latest frame, and before it the nearest frames whose numbers are
    multiples of `stride`. Only frames on which the mask has pixels count, and none that was ever added to the
    distractor-resolving memory.

    Object pointers are those of the distractor-resolving memory that is not ahead, and of the 15 frames before, if the
    mask has pixels there.

    Readings of the published rule: prompted frames are always recalled, even if they are more than `resolving_frames`;
    at least three recent frames are. Frames are counted as they are tracked. A prompt starts the areas anew with the
    area of its mask. The distractor is searched in low-resolution masks.

    Attributes:
        resolving_frames: Size of the distractor-resolving memory, prompted frames included.
        stride: Distance between recent frames.
        min_iou: Predicted IoU that an added frame must exceed.
        min_area_ratio: Smallest area of an added frame's mask, divided by the median area.
        max_area_ratio: Largest area of an added frame's mask, divided by the median area.
        area_frames: Number of frames in the median.
        area_window: Number of frames within which they are searched, the frame itself included.
        min_interval: Number of frames that the last addition must be exceeded by.
        max_box_iou: Largest IoU of boxes that shows a distractor.

    Raises:
        SettingsError: A number is out of range (`bad-usage`).
    """

    resolving_frames: int = 4
    stride: int = 5
    min_iou: float = 0.8
    min_area_ratio: float = 0.8
    max_area_ratio: float = 1.2
    area_frames: int = 10
    area_window: int = 300
    min_interval: int = 5
    max_box_iou: float = 0.7

    name: ClassVar[str] = "dam4sam"
    chooses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, low in (("stride", 1), ("area_frames", 1), ("area_window", 1), ("min_interval", 0)):
            check_count(self, name, low)
        check_count(self, "resolving_frames", 1, MEMORY_SLOTS - 1)
        for name in ("min_iou", "max_box_iou", "min_area_ratio"):
            check_number(self, name, 0, 1)
        check_number(self, "max_area_ratio", 1, 1000)

    def select(self, past: Past, frame: int, direction: int) -> Selection:
        """Select distractor-resolving and recent frames; see `MemoryPolicy`."""
        added = [*islice(_iterate_resolving(past), max(self.resolving_frames - len(past.prompted), 0))]
        resolving = min(len(past.prompted) + len(added), self.resolving_frames)
        recent = self._list_recent(past, MEMORY_SLOTS - resolving)
        prompted, ranked = list_slots(past, ()), list_slots(past, recent)[len(past.prompted) :]
        visible = [t for t, record in iterate_window(past, frame, direction) if _is_visible(record)]
        return Selection(
            slots=(*prompted, *((PROMPT_SLOT, t) for t in reversed(added)), *ranked),
            pointers=list_pointers(past, frame, direction, _merge(visible, added, direction)),
            horizon=compute_horizon(past.length),
        )

    def retain(self, past: Past, frame: int, direction: int) -> set[int]:
        """Return visible frames of the window, added frames, and recent ones; see `MemoryPolicy`."""
        visible = (t for t, record in iterate_window(past, frame + direction, direction) if _is_visible(record))
        added = islice(_iterate_resolving(past), self.resolving_frames - 1)  # at least one frame is prompted
        return {*visible, *added, *self._list_recent(past, RECENT_SLOTS)}

    def start(self, box: NDArray[Any], area: int) -> tuple[float, ...]:
        """Return the state with the area of the prompted mask."""
        return _State(area > 0, areas=((0, area),) if area > 0 else ()).to_floats()

    def choose(
        self, last: Sequence[Record], candidates: Sequence[MaskCandidates], frame: int, direction: int
    ) -> list[Choice]:
        """Choose the mask with the highest predicted IoU, and decide whether to add the frame; see `MemoryPolicy`."""
        before, masks = _State.from_floats(last[0].state), candidates[0]
        best = int(np.argmax(masks.iou))
        area = int(masks.areas[best]) if masks.object_score > 0 else 0
        aged = [(age + 1, size) for age, size in before.areas if age + 1 < self.area_window]
        areas = tuple([(0, area), *aged][: self.area_frames] if area else aged)
        since_addition = before.since_addition + 1 if before.since_addition != _NEVER else _NEVER
        resolving = (
            area > 0
            and len(aged) > 0
            and self._is_typical(float(masks.iou[best]), area, areas, since_addition)
            and _has_distractor(masks.logits, best, self.max_box_iou)
        )
        state = _State(area > 0, resolving, 0 if resolving else since_addition, areas)
        return [Choice(0, best, state.to_floats())]

    def _is_typical(self, iou: float, area: int, areas: Sequence[tuple[int, int]], since_addition: int) -> bool:
        """Tell whether a frame can be added if it shows a distractor."""
        ratio = area / median(size for _, size in areas)
        return (
            iou > self.min_iou
            and self.min_area_ratio <= ratio <= self.max_area_ratio
            and (since_addition == _NEVER or since_addition > self.min_interval)
        )

    def _list_recent(self, past: Past, count: int) -> list[int]:
        """List the frames of the recent appearance memory, nearest first."""
        recent: list[int] = []
        for t, record in past.tracked():
            if _is_visible(record) and not _is_resolving(record) and (not recent or t % self.stride == 0):
                recent.append(t)
            if len(recent) == count:
                break
        return recent


def _iterate_resolving(past: Past) -> Iterator[int]:
    """Iterate over the tracked frames that were added to the distractor-resolving memory, nearest first."""
    return (t for t, record in past.tracked() if _is_resolving(record))


def _is_visible(record: Record) -> bool:
    return bool(record.state and record.state[0])


def _is_resolving(record: Record) -> bool:
    return bool(record.state and record.state[1])


def _merge(first: Sequence[int], second: Sequence[int], direction: int) -> list[int]:
    """Return the frames of two lists without repetition, nearest first."""
    return sorted({*first, *second}, key=lambda t: -t * direction)


def _has_distractor(logits: NDArray[Any], chosen: int, max_box_iou: float) -> bool:
    """Tell whether a mask other than the chosen one shows a distractor.

    Args:
        logits: Logits (3, h, w).
        chosen: Index of the chosen mask.
        max_box_iou: Largest IoU of the chosen mask's box with the box of its union with a distractor.
    """
    masks = logits > 0
    if not masks[chosen].any():
        return False
    for other in range(len(masks)):
        outside = masks[other] & ~masks[chosen]
        if outside.any():
            component = keep_largest_component(np.where(outside, np.float32(1), np.float32(-1))) > 0
            box, wider = masks_to_boxes([masks[chosen], component | masks[chosen]])
            if _compute_area(box) <= max_box_iou * _compute_area(wider):
                return True
    return False


def _compute_area(box: NDArray[np.int64]) -> int:
    return int((box[2] - box[0]) * (box[3] - box[1]))
