"""Clips out of still pictures: a camera that wanders, turns and zooms over one picture, for data that has no clips."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.samples import Clip
from masklet.train.sources import Pictures

PACES = (0.004, 0.02, 0.06)  # how far the camera goes from frame to frame, in sides of the picture
TURN, ZOOM = 0.12, 0.06  # radians and share of the size per frame at the fastest pace

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class StillClips:
    """`sample(index)` gives `frames` views of picture number `index`."""

    pictures: Pictures
    frames: int
    seed: int

    def sample(self, index: int) -> Clip:
        """Clip number `index`, the same for ever for this seed; its first frame is the picture itself."""
        still = self.pictures.sample(index)
        path = _path(np.random.default_rng((self.seed, index)), self.frames, still.image.shape[0])
        frames = [_moved(still.image, view, cv2.INTER_LINEAR) for view in path]
        masks = [[_moved(mask.view(np.uint8), view, cv2.INTER_NEAREST) for mask in still.masks] for view in path]
        return Clip(np.stack(frames), np.stack([np.stack(shown) for shown in masks]).astype(bool), still.kinds)


def _path(rng: Generator, frames: int, size: int) -> list[Matrix]:
    """Where the picture lies on each frame: a step of a random walk after another, with some inertia."""
    pace = rng.choice(PACES)
    speed = rng.normal(0, 1, 4)
    place, path = np.zeros(4), []
    for _ in range(frames):
        path.append(_matrix(place, size))
        speed = 0.7 * speed + 0.7 * rng.normal(0, 1, 4)
        place = place + speed * pace * np.array([size, size, TURN / max(PACES), ZOOM / max(PACES)])
    return path


def _matrix(place: NDArray[np.float64], size: int) -> Matrix:
    """Shift x and y, angle and logarithm of the zoom as an affine map (2, 3) about the middle."""
    across, down, angle, zoom = place
    turn = np.exp(zoom) * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (size - 1) / 2)
    return np.column_stack([turn, middle - turn @ middle + (across, down)])


def _moved(image: NDArray[np.uint8], view: Matrix, method: int) -> NDArray[np.uint8]:
    """The picture under an affine map; beyond its rim it is mirrored, and so are its masks."""
    height, width = image.shape[:2]
    return np.asarray(
        cv2.warpAffine(image, view, (width, height), flags=method, borderMode=cv2.BORDER_REFLECT_101), np.uint8
    )
