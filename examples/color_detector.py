"""A detector without a network: the classes are names of colors, and the boxes surround regions of these colors.

    masklet segment examples/fish.jpg --detect "orange, white" --detector examples.color_detector:ColorDetector

It shows the form of a detector of your own. masklet calls `ColorDetector(classes)` once, and the result for each image.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

MAX_DISTANCE = 40.0  # in CIELAB, between a pixel and the color
MIN_SHARE = 0.005  # of the image, of a region


class ColorDetector:
    """Finds regions of colors in an image.

    Args:
        classes: Names of colors of CSS, such as "orange".

    Raises:
        ValueError: A name is not that of a color.
    """

    min_score = 0.3

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.identity = f"colors {', '.join(classes)}"
        self._colors = {name: _to_lab(np.uint8([[ImageColor.getrgb(name)[:3]]]))[0, 0] for name in classes}

    def __call__(self, image: NDArray[np.uint8]) -> tuple[list[Any], list[str], list[float]]:
        """Return boxes (x0, y0, x1, y1) in pixels, names and scores: the share of the box that has the color."""
        boxes, names, scores = [], [], []
        pixels = _to_lab(cv2.medianBlur(image, 5))
        for name, color in self._colors.items():
            has_color = (np.linalg.norm(pixels - color, axis=2) < MAX_DISTANCE).astype(np.uint8)
            _, _, regions, _ = cv2.connectedComponentsWithStats(has_color)
            for x, y, width, height, area in regions[1:].tolist():  # the first is the background
                if area >= MIN_SHARE * has_color.size:
                    boxes.append((x, y, x + width, y + height))
                    names.append(name)
                    scores.append(area / (width * height))
        return boxes, names, scores


def _to_lab(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(np.float32(rgb) / 255, cv2.COLOR_RGB2LAB))
