"""Masks read from an annotation file, collected by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from masklet.errors import FormatError
from masklet.masks.masks import Masks
from masklet.masks.rle import MAX_PIXELS
from masklet.masks.tracked_frame import TrackedFrame

MAX_FRAMES = 10**6  # of a video: 11 hours at 25 frames per second; a file with more is considered broken

MAX_SCORE = 2.0**127  # of 32 bits


class ReadMask(NamedTuple):
    """One object's mask as COCO RLE, and the object's label."""

    object_id: int
    score: float
    rle: Mapping[str, Any]
    label: str | None = None


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return `size` (H, W) after checking that an image can have it. Raises `FormatError`."""
    height, width = size
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise FormatError("annotation-broken", f"an image of {height} × {width} pixels cannot have masks")
    return size


def build_frame(index: int, time: float | None, size: tuple[int, int], masks: Sequence[ReadMask]) -> TrackedFrame:
    """Build a frame from masks; several masks of one object are united, with its first label. Raises `FormatError`."""
    check_size(size)
    if not masks:
        return TrackedFrame(index, time, Masks.empty(size))
    unusable = next((mask.score for mask in masks if not abs(mask.score) <= MAX_SCORE), None)
    if unusable is not None:
        raise FormatError("annotation-broken", f"frame {index} has the score {unusable}, which is not finite")
    codes = [mask.rle for mask in masks]
    masks_read = Masks.from_rle(
        codes,
        object_ids=[mask.object_id for mask in masks],
        scores=[mask.score for mask in masks],
        labels=[mask.label for mask in masks],
    )
    if masks_read.size != size:
        raise FormatError("annotation-broken", f"frame {index} has size {size}, its masks {masks_read.size}")
    return TrackedFrame(index, time, _unite(masks_read))


def _unite(masks: Masks) -> Masks:
    """Unite the masks of each object. The score is that of the first, the label the first that is given."""
    object_ids = list(dict.fromkeys(masks.object_ids))
    if len(object_ids) == len(masks):
        return masks
    parts = [masks.of(object_id) for object_id in object_ids]
    binary = [part.binary.any(axis=0) for part in parts]
    labels = [next(filter(None, part.labels), None) for part in parts]
    scores = [part.scores[0] for part in parts]
    return Masks.from_binary(np.stack(binary), object_ids=object_ids, scores=scores, labels=labels)
