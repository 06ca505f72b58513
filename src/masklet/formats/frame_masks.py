"""Masks that were read from a file, gathered by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from masklet.errors import FormatError
from masklet.masks.masks import Masks
from masklet.masks.rle import MAX_PIXELS
from masklet.masks.tracked_frame import TrackedFrame

MAX_FRAMES = 10**6  # of a video: 11 hours of 25 frames a second; a file that tells of more is broken


class ReadMask(NamedTuple):
    """One object's mask as a run-length code."""

    object_id: int
    score: float
    code: Mapping[str, Any]


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size (H, W) of an image that can have masks. Raises `FormatError` for another."""
    height, width = size
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise FormatError("annotation-broken", f"an image of {height} × {width} pixels cannot have masks")
    return size


def frame_of(index: int, time: float | None, size: tuple[int, int], masks: Sequence[ReadMask]) -> TrackedFrame:
    """A frame of masks that were read; several of one object become one."""
    check_size(size)
    if not masks:
        return TrackedFrame(index, time, Masks.empty(size))
    codes = [mask.code for mask in masks]
    found = Masks.from_rle(codes, object_ids=[mask.object_id for mask in masks], scores=[mask.score for mask in masks])
    if found.size != size:
        raise FormatError("annotation-broken", f"frame {index} has size {size}, its masks {found.size}")
    return TrackedFrame(index, time, _unite(found))


def _unite(masks: Masks) -> Masks:
    """The masks with each object once: its parts together, with the first one's score."""
    object_ids = list(dict.fromkeys(masks.object_ids))
    if len(object_ids) == len(masks):
        return masks
    parts = [masks.of(object_id) for object_id in object_ids]
    binary = [part.binary.any(axis=0) for part in parts]
    return Masks.from_binary(np.stack(binary), object_ids=object_ids, scores=[part.scores[0] for part in parts])
