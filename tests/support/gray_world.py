"""Gray world: a backend that segments uniform boxes by their gray value, and images of such boxes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Decoded, Predictions
from support.color_backend import ColorBackend

SIZE = (40, 60)  # H, W
Box = tuple[int, int, int, int]


class GrayWorld(ColorBackend):
    """Segments objects by their gray value, and the value 0 as no object."""

    def fetch_candidates(self, decoded: Decoded) -> Predictions:
        """Return three equal candidates, with the score 0 on the background."""
        logits = decoded.logits[:, 0].repeat(3, 0)
        score = np.where(decoded.pointer[:, 0], 0.0, 1.0).repeat(3)
        return Predictions(logits, score, np.ones(len(score)))


def draw_boxes(boxes: Mapping[int, Box]) -> NDArray[np.uint8]:
    """Draw boxes (left, top, right, bottom) by gray value on a black image (H, W, 3)."""
    image = np.zeros((*SIZE, 3), np.uint8)
    for value, (x0, y0, x1, y1) in boxes.items():
        image[y0:y1, x0:x1] = value
    return image
