"""Detector of the gray world: it finds the boxes of images by their gray values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from masklet.detectors.detections import Detections


@dataclass
class GrayDetector:
    """Finds each gray value that has a class, and its score.

    `hidden` are values that it overlooks. `calls` counts its runs.
    """

    classes: Mapping[int, str]
    scores: Mapping[int, float] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    calls: int = 0

    def __call__(self, image: NDArray[np.uint8], /) -> Detections:
        self.calls += 1
        values = [value for value in self.classes if value not in self.hidden and (image[..., 0] == value).any()]
        boxes = []
        for value in values:
            rows, columns = np.nonzero(image[..., 0] == value)
            boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        return Detections(
            np.array(boxes).reshape(-1, 4), [self.classes[one] for one in values],
            [self.scores.get(one, 0.9) for one in values],
        )  # fmt: skip


def make_gray_detector(classes: tuple[str, ...]) -> GrayDetector:
    """Return a detector whose first class has the gray value 80, the second 160, the third 240: a `TextDetector`."""
    return GrayDetector(dict(zip((80, 160, 240), classes, strict=False)))


def make_failing_detector(classes: tuple[str, ...]) -> GrayDetector:
    """Fail."""
    raise ValueError(f"no {classes[0]} here")


NOT_CALLABLE = 3
