"""SAM2Long's memory: a tree of hypotheses, each with memories of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.backend import MAX_POINTERS
from masklet.memory.policy import Choice, MaskCandidates, MemoryPolicy, Past, Record, Selection
from masklet.memory.selection import (
    RECENT_SLOTS,
    check_count,
    check_number,
    compute_horizon,
    list_pointers,
    list_slots,
    retain_reliable,
    select_reliable,
)

_EPSILON = 1e-5  # added to the predicted IoU before its logarithm is taken
_DECIMALS = 2  # to which predicted IoUs are rounded to compare them


class _Branch(NamedTuple):
    """One candidate of one hypothesis.

    Attributes:
        score: Cumulative score.
        hypothesis: Position of the hypothesis.
        candidate: Position of the candidate.
        kind: Predicted IoU, rounded, and negative where the object is hidden.
    """

    score: float
    hypothesis: int
    candidate: int
    kind: float


@dataclass(frozen=True)
class Sam2LongMemory(MemoryPolicy):
    """SAM2Long's constrained memory tree (arXiv 2410.16268), in both directions; written from the paper.

    *Choice of the hypotheses.* An object has up to `hypotheses` of them, and one on a prompted frame. Each candidate of
    each hypothesis has the hypothesis' cumulative score plus the logarithm of its predicted IoU. The candidates with
    the highest scores are the new hypotheses. Where no absolute object score exceeds `certain_object_score`, these must
    differ in their predicted IoUs, rounded to two decimals, or in whether the object is visible; there are fewer
    hypotheses if not enough of them differ.

    *Selection of memories.* A hypothesis recalls the prompted frames, the frame before, and its nearest frames whose
    predicted IoU and object score exceed `memory_iou` and 0: the maps of the nearest six, in slots by rank, and the
    object pointers of the nearest 15. The attention keys of maps, and likewise those of pointers, are multiplied by
    numbers that are evenly spaced from `min_scale` to `max_scale`, in the order of their frames' object scores; of
    equal ones, the nearer frame has the larger factor. Prompted frames are last in this order. A map alone is not
    scaled, nor is a pointer alone.

    The paper outputs the masks of the hypothesis with the highest score on the last frame. The first hypothesis of a
    frame is the best up to that frame.

    Attributes:
        hypotheses: Largest number of hypotheses.
        certain_object_score: Absolute object score from which on hypotheses need not differ.
        memory_iou: Predicted IoU that a recalled frame must exceed.
        min_scale: Factor of the attention keys of the frame with the lowest object score.
        max_scale: Factor of the attention keys of the frame with the highest object score.

    Raises:
        SettingsError: A number is out of range (`bad-usage`).
    """

    hypotheses: int = 3
    certain_object_score: float = 2.0
    memory_iou: float = 0.1
    min_scale: float = 0.95
    max_scale: float = 1.05

    name: ClassVar[str] = "sam2long"
    chooses: ClassVar[bool] = True
    revises: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count(self, "hypotheses", 1)
        check_number(self, "certain_object_score", 0, 1024)
        check_number(self, "memory_iou", 0, 1)
        check_number(self, "min_scale", 0, 10)
        check_number(self, "max_scale", self.min_scale, 10)

    def select(self, past: Past, frame: int, direction: int) -> Selection:
        """Select the frame before, and the nearest frames with high scores, and scale them; see `MemoryPolicy`."""
        prompted = {t: (True, record.object_score) for t, record in past.prompted.items()}
        selected = select_reliable(past, self._is_reliable, MAX_POINTERS - 1, frame, direction)
        recent = {t: (False, record.object_score) for t, record in selected}
        slots = list_slots(past, [*recent][:RECENT_SLOTS])
        pointers = list_pointers(past, frame, direction, recent)
        ranks = {t: (*score, -abs(frame - t)) for t, score in (prompted | recent).items()}
        scales = (self._scale([ranks[t] for _, t in slots]), self._scale([ranks[t] for _, t in pointers]))
        return Selection(slots, pointers, compute_horizon(past.length), scales)

    def retain(self, past: Past, frame: int, direction: int) -> set[int]:
        """Return the last frame and the nearest 15 frames with high scores; see `MemoryPolicy`."""
        return retain_reliable(past, self._is_reliable, MAX_POINTERS - 1)

    def start(self, box: NDArray[Any], area: int) -> tuple[float, ...]:
        """Return the score 0."""
        return (0.0,)

    def choose(
        self, last: Sequence[Record], candidates: Sequence[MaskCandidates], frame: int, direction: int
    ) -> list[Choice]:
        """Choose the candidates with the highest cumulative scores; see `MemoryPolicy`."""
        branches = sorted(_iterate_branches(last, candidates), key=lambda branch: -branch.score)
        if not max(abs(float(masks.object_score)) for masks in candidates) > self.certain_object_score:
            kinds = [branch.kind for branch in branches]
            branches = [branch for rank, branch in enumerate(branches) if branch.kind not in kinds[:rank]]
        return [Choice(branch.hypothesis, branch.candidate, (branch.score,)) for branch in branches[: self.hypotheses]]

    def _is_reliable(self, record: Record) -> bool:
        return record.iou > self.memory_iou and record.object_score > 0

    def _scale(self, ranks: Sequence[tuple[bool, float, int]]) -> tuple[float, ...]:
        """Compute the factors of memories from whether they are prompted, their object scores and their nearness."""
        if len(ranks) < 2:
            return (1.0,) * len(ranks)
        order = sorted(range(len(ranks)), key=ranks.__getitem__)
        factors = dict(zip(order, np.linspace(self.min_scale, self.max_scale, len(ranks)).tolist(), strict=True))
        return tuple(factors[position] for position in range(len(ranks)))


def _iterate_branches(last: Sequence[Record], candidates: Sequence[MaskCandidates]) -> Iterator[_Branch]:
    """Iterate over the candidates of all hypotheses."""
    for hypothesis, (record, masks) in enumerate(zip(last, candidates, strict=True)):
        score = record.state[0] if record.state else 0.0
        for candidate, iou in enumerate(np.asarray(masks.iou, np.float64).tolist()):
            kind = round(iou, _DECIMALS) * (1 if masks.object_score > 0 else -1)
            yield _Branch(score + math.log(max(iou, 0) + _EPSILON), hypothesis, candidate, kind)
