"""What a model is made to do with a picture, to see what flows through it and what its masks are worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masklet.backends.onnx import OnnxBackend
from masklet.masks.masks import Masks
from masklet.prompts import click
from masklet.segmenter import Segmenter
from masklet.tracking.tracker import Tracker

CLICKS = 4  # along each side
FRAMES = 4  # of the clip that is made of each picture
STEP = 0.02  # how far it moves from one to the next, as a fraction of its side


def exercise(backend: OnnxBackend, picture: NDArray[np.uint8]) -> list[Masks]:
    """A grid of clicks on the picture, then what is in its middle, followed while the picture moves."""
    height, width = picture.shape[:2]
    places = (np.arange(CLICKS) + 0.5) / CLICKS
    prompts = [click(x * width, y * height) for y in places for x in places]
    tracker = Tracker(backend)
    found = [Segmenter(backend).embed(picture).predict(prompts)]
    found.append(tracker.prompt(0, {1: click(width / 2, height / 2)}, picture))
    for frame in range(1, FRAMES):
        shift = [round(frame * STEP * side) for side in (height, width)]
        found.append(tracker.step(frame, np.roll(picture, shift, axis=(0, 1))))
    return found
