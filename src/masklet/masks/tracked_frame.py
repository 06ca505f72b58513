"""Masks of all objects on one frame of a video."""

from __future__ import annotations

from dataclasses import dataclass

from masklet.masks.masks import Masks


@dataclass(frozen=True, slots=True)
class TrackedFrame:
    """Masks of all objects on one frame.

    Attributes:
        index: Number of the frame in its video, from 0.
        time: Presentation time in seconds, or None if the source has none.
        masks: One mask per object, at the frame's size.
    """

    index: int
    time: float | None
    masks: Masks
