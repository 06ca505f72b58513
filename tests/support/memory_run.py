"""Runs of memory policies on recorded or random candidates, without a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.masks.iou import masks_to_boxes
from masklet.memory.policy import Choice, MemoryPolicy, Past, Record, Selection

SCORES = Path(__file__).resolve().parents[1] / "memory" / "scores.npz"
SCALE = 4  # pixels of the frame per pixel of a random mask


@dataclass(frozen=True)
class FixedCandidates:
    """Candidates of one hypothesis on one frame; see `MaskCandidates`."""

    iou: NDArray[Any]
    object_score: float
    logits: NDArray[Any]
    boxes: NDArray[Any]
    areas: NDArray[Any]


@cache
def load_candidates() -> list[FixedCandidates]:
    """Load the candidates of frames 1 to 59, which tests/memory/record_scores.py recorded."""
    with np.load(SCORES) as file:
        masks = np.unpackbits(file["masks"], axis=-1)
        columns = (file["iou"], file["object_score"].tolist(), masks * 2.0 - 1, file["boxes"], file["areas"])
        return [FixedCandidates(*row) for row in zip(*columns, strict=True)]


def make_candidates(masks: NDArray[np.bool_], iou: list[float], object_score: float = 5.0) -> FixedCandidates:
    """Make candidates from masks (3, h, w) and their predicted IoUs."""
    boxes, areas = masks_to_boxes(masks) * SCALE, masks.sum(axis=(1, 2)) * SCALE**2
    return FixedCandidates(np.array(iou, np.float32), object_score, masks * 8.0 - 4, boxes, areas)


def draw_candidates(count: int, seed: int) -> list[FixedCandidates]:
    """Draw candidates: a drifting rectangle, alternatives that are larger or have a second part, and hidden frames."""
    rng = np.random.default_rng(seed)
    drawn = []
    left, top = 8, 8
    for _ in range(count):
        left, top = np.clip(np.array([left, top]) + rng.integers(-1, 2, 2), 1, 14)
        masks = np.zeros((3, 24, 32), bool)
        masks[:, top : top + 6, left : left + rng.integers(5, 9)] = True
        masks[rng.integers(3), max(top - 2, 0) : top + 8, left : left + 10] |= rng.random() < 0.5
        if rng.random() < 0.5:
            masks[rng.integers(3), 2:6, 26 : 27 + rng.integers(4)] = True
        if rng.random() < 0.1:
            masks[rng.integers(3)] = False
        iou = np.full(3, 0.7) if rng.random() < 0.1 else np.clip(rng.normal(0.8, 0.2, 3), 0, 1)
        object_score = float(rng.normal(5, 2) if rng.random() < 0.95 else rng.normal(-1, 2))
        drawn.append(make_candidates(masks, iou.tolist(), object_score))
    return drawn


@dataclass
class MemoryRun:
    """An object with one hypothesis that is tracked by a policy, frame by frame.

    Attributes:
        trims: Whether frames that the policy does not retain are dropped.
    """

    policy: MemoryPolicy
    direction: int = 1
    length: int | None = None
    trims: bool = False
    prompted: dict[int, Record] = field(default_factory=dict)
    tracked: dict[int, Record] = field(default_factory=dict)
    last: Record = field(init=False)

    def prompt(self, frame: int, area: int = 400) -> None:
        """Prompt the object on a frame."""
        self.last = Record(1.0, 10.0, self.policy.start(np.array([0, 0, 20, 20]), area))
        self.prompted[frame] = self.last
        self.tracked.pop(frame, None)
        self._trim(frame)

    def step(self, frame: int, candidates: FixedCandidates) -> tuple[Selection, Choice]:
        """Track the object to a frame."""
        selection = self.policy.select(self.past(frame), frame, self.direction)
        choice = self.policy.choose([self.last], [candidates], frame, self.direction)[0]
        index = int(candidates.iou.argmax()) if choice.candidate is None else choice.candidate
        self.last = Record(float(candidates.iou[index]), candidates.object_score, choice.state)
        self.tracked[frame] = self.last
        self._trim(frame)
        return selection, choice

    def past(self, frame: int) -> Past:
        """Return the past that a frame sees."""

        def iterate() -> Iterator[tuple[int, Record]]:
            behind = [t for t in self.tracked if (frame - t) * self.direction > 0]
            for t in sorted(behind, key=lambda t: (frame - t) * self.direction):
                yield t, self.tracked[t]

        return Past(self.prompted, iterate, self.length)

    def _trim(self, frame: int) -> None:
        if self.trims:
            retained = self.policy.retain(self.past(frame + self.direction), frame, self.direction)
            self.tracked = {t: record for t, record in self.tracked.items() if t in retained}


def run_on(
    run: MemoryRun, candidates: list[FixedCandidates], prompts: tuple[int, ...] = (0,), gaps: tuple[int, ...] = ()
) -> Iterator[tuple[int, FixedCandidates, Selection, Choice]]:
    """Track an object through frames 0, 1, … or 0, −1, …, without `gaps`; `prompts` and `gaps` are distances."""
    for distance in range(len(candidates)):
        frame = distance * run.direction
        if distance in prompts:
            run.prompt(frame)
        elif distance not in gaps:
            yield frame, candidates[distance], *run.step(frame, candidates[distance])


def transcribe_recall(
    prompted: list[int], tracked: set[int], frame: int, length: int, reverse: bool
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(slot, frame) of maps and (distance, frame) of pointers, as in reference-model §6.3 with released settings."""
    maps = [(6, t) for t in prompted]
    for t_pos in range(1, 7):
        t_rel = 7 - t_pos
        previous = frame + t_rel if reverse else frame - t_rel
        if previous in tracked:
            maps.append((7 - t_pos - 1, previous))
    sign = -1 if reverse else 1
    pointers = [((frame - t) * sign, t) for t in prompted if (t >= frame if reverse else t <= frame)]
    for distance in range(1, min(length, 16)):
        t = frame + distance if reverse else frame - distance
        if t < 0 or t >= length:
            break
        if t in tracked:
            pointers.append((distance, t))
    return maps, pointers
