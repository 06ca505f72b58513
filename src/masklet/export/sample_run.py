"""Sample run of a model on an image, for calibration and for measuring the error of quantization."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masklet.backends.onnx import OnnxBackend
from masklet.masks.masks import Masks
from masklet.prompts import click
from masklet.segmenter import Segmenter
from masklet.tracking.propagate import propagate
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import visit_in_order
from masklet.video.frames import Frame

CLICKS_PER_SIDE = 4
NUM_FRAMES = 4  # of the clip that is made of an image
SHIFT_PER_FRAME = 0.02  # of the image, as a fraction of its sides


def run_sample(backend: OnnxBackend, image: NDArray[np.uint8]) -> list[Masks]:
    """Segment a grid of clicks, then track the object at the center of the image while the image moves.

    Args:
        backend: The model.
        image: Array (H, W, 3), RGB.

    Returns:
        The masks of the grid, then those of each frame.
    """
    height, width = image.shape[:2]
    centers = (np.arange(CLICKS_PER_SIDE) + 0.5) / CLICKS_PER_SIDE
    prompts = [click(x * width, y * height) for y in centers for x in centers]
    tracker = Tracker(backend)
    results = [Segmenter(backend).embed(image, warn=False).predict(prompts)]
    results.append(tracker.prompt(0, {1: click(width / 2, height / 2)}, image))
    moving = (Frame(frame, None, _shift(image, frame)) for frame in range(1, NUM_FRAMES))
    return [*results, *(frame.masks for frame in propagate(tracker, visit_in_order(moving)))]


def _shift(image: NDArray[np.uint8], frame: int) -> NDArray[np.uint8]:
    return np.roll(image, [round(frame * SHIFT_PER_FRAME * side) for side in image.shape[:2]], axis=(0, 1))
