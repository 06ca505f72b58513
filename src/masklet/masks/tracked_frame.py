"""Masks of all objects on one frame of a video."""

from __future__ import annotations

from dataclasses import dataclass

from masklet.errors import MaskWarning
from masklet.masks.masks import Masks
from masklet.masks.object_detection import ObjectDetection


@dataclass(frozen=True, slots=True)
class TrackedFrame:
    """Masks of all objects on one frame.

    Attributes:
        index: Number of the frame in its video, from 0.
        time: Presentation time in seconds, or None if the source has none.
        masks: One mask per object, at the frame's size.
        corrupt: Whether the frame could not be decoded completely.
        warnings: Why masks of this frame may be wrong, each reason only once for an object in a video.
        detections: What a detector found on this frame, if it ran on it.
    """

    index: int
    time: float | None
    masks: Masks
    corrupt: bool = False
    warnings: tuple[MaskWarning, ...] = ()
    detections: tuple[ObjectDetection, ...] = ()

    def __repr__(self) -> str:
        corrupt = ", corrupt=True" if self.corrupt else ""
        return f"TrackedFrame(index={self.index}, time={self.time}, masks={self.masks}{corrupt})"
