"""Detection of an object of an image or a frame by a detector."""

from __future__ import annotations

from typing import NamedTuple


class ObjectDetection(NamedTuple):
    """A box that a detector found, and the object that it belongs to.

    Attributes:
        object_id: The object.
        label: The class that the detector gives, which may differ from the label of a tracked object.
        score: Score of the detector, from 0 to 1.
        box: Box (x0, y0, x1, y1) in pixels of the image.
    """

    object_id: int
    label: str
    score: float
    box: tuple[float, float, float, float]
