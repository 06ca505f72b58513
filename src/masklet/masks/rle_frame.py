"""The masks of one frame as run-length codes: small enough to keep for every frame, exact to the pixel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from masklet.masks.masks import Masks, list_ids
from masklet.masks.tracked_frame import TrackedFrame


class CodedMask(NamedTuple):
    """One object on one frame; `code` is a COCO run-length code."""

    object_id: int
    score: float
    object_score: float
    code: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CodedFrame:
    """What is written of a frame: its number, its time in seconds if there is one, and each object's mask.

    The four columns have one entry per object; a hidden object has an empty mask. A `corrupt` frame could not be
    decoded.
    """

    index: int
    time: float | None
    size: tuple[int, int]
    object_ids: tuple[int, ...]
    scores: tuple[float, ...]
    object_scores: tuple[float, ...]
    counts: tuple[str, ...]
    corrupt: bool = False

    def __repr__(self) -> str:
        ids = list_ids(self.object_ids)
        return f"CodedFrame(index={self.index}, time={self.time}, size={self.size}, object_ids={ids})"

    def __iter__(self) -> Iterator[CodedMask]:
        for object_id, score, object_score, counts in zip(
            self.object_ids, self.scores, self.object_scores, self.counts, strict=True
        ):
            yield CodedMask(object_id, score, object_score, {"size": list(self.size), "counts": counts})

    def of(self, object_id: int) -> CodedMask | None:
        """One object's mask, if the frame has it."""
        return next((mask for mask in self if mask.object_id == object_id), None)

    def decoded(self) -> TrackedFrame:
        """The frame as tracking gave it, its logits reduced to masks."""
        if not self.object_ids:
            return TrackedFrame(self.index, self.time, Masks.empty(self.size))
        masks = Masks.from_rle([mask.code for mask in self], object_ids=self.object_ids, scores=self.scores)
        object_scores = np.array(self.object_scores, np.float32)
        return TrackedFrame(self.index, self.time, replace(masks, object_scores=object_scores))


def coded(frame: TrackedFrame) -> CodedFrame:
    """A tracked frame in the form in which it is kept and written."""
    masks = frame.masks
    return CodedFrame(
        index=frame.index,
        time=frame.time,
        size=masks.size,
        object_ids=masks.object_ids,
        scores=tuple(masks.scores.tolist()),
        object_scores=tuple(masks.object_scores.tolist()),
        counts=tuple(code["counts"] for code in masks.to_rle()),
    )


def objects(frames: Iterable[CodedFrame]) -> list[int]:
    """The ids of all objects of a video, in order."""
    return sorted({object_id for frame in frames for object_id in frame.object_ids})
