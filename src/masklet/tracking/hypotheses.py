"""Choice of the hypotheses of tracked objects, by the rules of a memory policy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Backend, Decoded, Predictions
from masklet.config import NUM_CANDIDATES
from masklet.masks.crop import full_crop
from masklet.masks.iou import masks_to_boxes
from masklet.memory.policy import Choice, MemoryPolicy, Record
from masklet.tracking.object_track import Hypothesis, ObjectResult
from masklet.views.view import Region


class ChosenMasks(NamedTuple):
    """Masks that one object keeps on a frame, the best first.

    Attributes:
        picks: Row and candidate of each mask in the decoder's result, for `Backend.select`.
        records: Record of each mask; none if the policy keeps no records.
    """

    picks: list[tuple[int, int | None]]
    records: tuple[Record, ...] = ()


def choose_hypotheses(
    backend: Backend,
    policy: MemoryPolicy,
    decoded: Decoded,
    hypotheses: Sequence[Sequence[Hypothesis]],
    region: Region,
    size: tuple[int, int],
) -> list[ChosenMasks]:
    """Choose the masks that each object keeps.

    Args:
        backend: Backend with the model.
        policy: The memory policy.
        decoded: Result of the decoder, with a row per hypothesis.
        hypotheses: Hypotheses of each object.
        region: Part of the frame that the logits cover.
        size: The frame's (H, W).
    """
    if not policy.chooses:
        return [ChosenMasks([(row, None)]) for row in range(len(hypotheses))]
    predictions, first = backend.fetch_candidates(decoded), 0
    chosen = []
    for of_object in hypotheses:
        rows = range(first, first + len(of_object))
        candidates = [_Candidates(predictions, row, region, size) for row in rows]
        one = of_object[0]
        choices = policy.choose([other.last for other in of_object], candidates, one.frame, one.direction)
        picks = [(first + choice.hypothesis, choice.candidate) for choice in choices]
        records = tuple(_build_record(candidates[choice.hypothesis], choice, one.direction) for choice in choices)
        chosen.append(ChosenMasks(picks, records))
        first += len(of_object)
    return chosen


def start_record(backend: Backend, policy: MemoryPolicy, result: ObjectResult, size: tuple[int, int]) -> Record | None:
    """Return the record of a prompted mask on a frame of `size` (H, W); None if the policy keeps no records."""
    if not policy.chooses:
        return None
    logits, iou, score = backend.fetch([result.decoded])
    box, area = _measure(logits, result.region, size)
    return Record(float(iou[0]), float(score[0]), policy.start(box[0], int(area[0])))


class _Candidates:
    """`MaskCandidates` of one row of the decoder's result."""

    def __init__(self, predictions: Predictions, row: int, region: Region, size: tuple[int, int]) -> None:
        rows = slice(NUM_CANDIDATES * row, NUM_CANDIDATES * (row + 1))
        self.logits, self.iou = predictions.logits[rows], predictions.iou[rows]
        self.object_score = float(predictions.object_score[rows][0])
        self._region, self._size = region, size

    @property
    def boxes(self) -> NDArray[np.float64]:
        return self._measured[0]

    @property
    def areas(self) -> NDArray[np.float64]:
        return self._measured[1]

    @cached_property
    def _measured(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return _measure(self.logits, self._region, self._size)


def _measure(
    logits: NDArray[np.floating], region: Region, size: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return boxes (N, 4) xyxy and areas (N,) of low-resolution masks, in pixels of the frame."""
    crop = region or full_crop(size)
    masks = logits > 0
    scale = np.divide(crop.size, masks.shape[1:])[::-1]
    boxes = masks_to_boxes(masks) * np.tile(scale, 2)
    areas = masks.sum(axis=(1, 2)) * scale.prod()
    return np.where(areas[:, None] > 0, boxes + np.tile(crop[:2], 2), 0.0), areas


def _build_record(candidates: _Candidates, choice: Choice, direction: int) -> Record:
    position = int(candidates.iou.argmax()) if choice.candidate is None else choice.candidate
    iou = float(candidates.iou[position])
    return Record(iou, candidates.object_score, choice.state, choice.hypothesis, direction)
