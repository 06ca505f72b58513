"""SAMURAI's memory: masks that fit the object's motion, and memories of frames with high scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.masks.iou import box_iou
from masklet.memory.kalman import BoxFilter
from masklet.memory.policy import Choice, MaskCandidates, MemoryPolicy, Past, Record, Selection
from masklet.memory.selection import (
    RECENT_SLOTS,
    check_count,
    check_number,
    compute_horizon,
    iterate_window,
    list_pointers,
    list_slots,
    retain_reliable,
    retain_window,
    select_reliable,
)

_NO_MOTION_SCORE = -1.0  # of a frame whose mask was chosen by its predicted IoU alone


class _State(NamedTuple):
    """Motion of an object up to one frame.

    Attributes:
        stable_frames: Frames since the filter was started, up to `SamuraiMemory.stable_frames`; 0 restarts it.
        motion_score: IoU of the predicted box and the box of the mask, or −1.
        motion: Filter after the frame; None where there is none.
    """

    stable_frames: int = 0
    motion_score: float = _NO_MOTION_SCORE
    motion: BoxFilter | None = None

    def to_floats(self) -> tuple[float, ...]:
        motion = () if self.motion is None else self.motion.to_floats()
        return (float(self.stable_frames), self.motion_score, *motion)

    @staticmethod
    def from_floats(numbers: Sequence[float]) -> _State:
        if not numbers:
            return _State()
        stable_frames, motion_score, *motion = numbers
        return _State(int(stable_frames), motion_score, BoxFilter.from_floats(motion) if motion else None)


@dataclass(frozen=True)
class SamuraiMemory(MemoryPolicy):
    """SAMURAI's motion-aware memory (arXiv 2411.11922), for each object and in both directions.

    *Choice of the mask.* A Kalman filter follows the object's box in pixels of the frame. It starts at the first
    tracked frame after a prompt with the mask of the highest predicted IoU. For the next frames this mask is chosen
    too, and updates the filter if its predicted IoU exceeds `stable_iou`. Once that was so for `stable_frames` frames,
    the mask with the highest `motion_weight` · motion score + (1 − `motion_weight`) · predicted IoU is chosen, where
    the motion score is the IoU of the predicted box with the mask's box. The filter starts anew on the frame after one
    on which the predicted IoU of the chosen mask does not reach `stable_iou`, or on which the mask is empty.

    *Selection of memories.* Besides prompted frames, a frame recalls the maps of the frame before it and of the nearest
    frames whose predicted IoU, object score and motion score, if there is one, exceed `memory_iou`,
    `memory_object_score` and `memory_motion_score`: six in all, in slots by rank. Pointers are recalled as by SAM 2.

    The published code differs: its motion score has no effect on the selection, frames 0 and 1 are never selected
    unless they are the frame before, and an empty mask updates the filter with a box at the origin.

    Attributes:
        motion_weight: Weight of the motion score: 0.15 for the large model, 0.25 for the others.
        stable_frames: Frames with updates of the filter before motion scores take part in the choice.
        stable_iou: Predicted IoU that a mask must exceed to update the filter.
        min_object_score: Object score that a visible object exceeds; the masks of others count as empty.
        memory_iou: Predicted IoU that a recalled frame must exceed.
        memory_object_score: Object score that a recalled frame must exceed.
        memory_motion_score: Motion score that a recalled frame must exceed.

    Raises:
        SettingsError: A number is out of range (`bad-usage`).
    """

    motion_weight: float = 0.25
    stable_frames: int = 15
    stable_iou: float = 0.3
    min_object_score: float = -1.0
    memory_iou: float = 0.5
    memory_object_score: float = 0.0
    memory_motion_score: float = 0.0

    name: ClassVar[str] = "samurai"
    chooses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("motion_weight", "stable_iou", "memory_iou", "memory_motion_score"):
            check_number(self, name, 0, 1)
        for name in ("min_object_score", "memory_object_score"):
            check_number(self, name, -1024, 1024)
        check_count(self, "stable_frames", 1)

    def select(self, past: Past, frame: int, direction: int) -> Selection:
        """Select the frame before, and the nearest frames with high scores; see `MemoryPolicy`."""
        recent = [t for t, _ in select_reliable(past, self._is_reliable, RECENT_SLOTS, frame, direction)]
        window = [t for t, _ in iterate_window(past, frame, direction)]
        pointers = list_pointers(past, frame, direction, window)
        return Selection(list_slots(past, recent), pointers, compute_horizon(past.length))

    def retain(self, past: Past, frame: int, direction: int) -> set[int]:
        """Return the window of pointers and the nearest six frames with high scores; see `MemoryPolicy`."""
        return retain_window(past, frame, direction) | retain_reliable(past, self._is_reliable, RECENT_SLOTS)

    def start(self, box: NDArray[Any], area: int) -> tuple[float, ...]:
        """Return the empty state: the first tracked frame starts the filter."""
        return ()

    def choose(
        self, last: Sequence[Record], candidates: Sequence[MaskCandidates], frame: int, direction: int
    ) -> list[Choice]:
        """Choose the mask that fits the predicted IoUs and the motion best; see `MemoryPolicy`."""
        state = _State.from_floats(last[0].state)
        ious = np.asarray(candidates[0].iou, np.float64)
        boxes = np.asarray(candidates[0].boxes, np.float64)
        if not candidates[0].object_score > self.min_object_score:
            boxes = np.zeros_like(boxes)
        if state.motion is None or state.stable_frames == 0:
            best = int(ious.argmax())
            state = _State(1, motion=BoxFilter.start(boxes[best])) if _has_area(boxes[best]) else _State()
        else:
            best, state = self._choose_with_motion(state.motion.predict(), state.stable_frames, ious, boxes)
        return [Choice(0, best, state.to_floats())]

    def _choose_with_motion(
        self, predicted: BoxFilter, stable_frames: int, ious: NDArray[Any], boxes: NDArray[Any]
    ) -> tuple[int, _State]:
        """Choose one of the masks from their predicted IoUs (3,) and boxes (3, 4); returns its index and the state."""
        is_stable = stable_frames >= self.stable_frames
        if is_stable:
            motion_scores = box_iou(predicted.box[None], boxes)[0]
            best = int((self.motion_weight * motion_scores + (1 - self.motion_weight) * ious).argmax())
            motion_score, matches = float(motion_scores[best]), ious[best] >= self.stable_iou
        else:
            best = int(ious.argmax())
            motion_score, matches = _NO_MOTION_SCORE, ious[best] > self.stable_iou
        if not (matches and _has_area(boxes[best])):
            return best, _State(0, motion_score)
        stable_frames = min(stable_frames + 1, self.stable_frames)
        return best, _State(stable_frames, motion_score, predicted.update(boxes[best]))

    def _is_reliable(self, record: Record) -> bool:
        motion_score = record.state[1] if record.state else _NO_MOTION_SCORE
        return (
            record.iou > self.memory_iou
            and record.object_score > self.memory_object_score
            and (motion_score == _NO_MOTION_SCORE or motion_score > self.memory_motion_score)
        )


def _has_area(box: NDArray[Any]) -> bool:
    return bool(box[2] > box[0] and box[3] > box[1])
