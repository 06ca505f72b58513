"""Clips from single images: a moving camera pans, rotates and zooms over an image, for data without clips."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.samples import Clip
from masklet.train.sources import ImageSampler

CAMERA_SPEEDS = (0.004, 0.02, 0.06)  # movement per frame, as a fraction of the image's side
MAX_TURN, MAX_ZOOM = 0.12, 0.06  # radians and relative size per frame, at the highest speed

_Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class MovingCameraSampler:
    """A `ClipSampler` of clips with `frames` frames, each made of one image of another sampler."""

    images: ImageSampler
    frames: int
    seed: int

    def sample(self, index: int) -> Clip:
        """Make clip `index` of image `index`. The first frame is the image itself."""
        still = self.images.sample(index)
        path = _draw_camera_path(np.random.default_rng((self.seed, index)), self.frames, still.image.shape[0])
        frames = [_warp_image(still.image, view, cv2.INTER_LINEAR) for view in path]
        masks = [[_warp_image(mask.view(np.uint8), view, cv2.INTER_NEAREST) for mask in still.masks] for view in path]
        return Clip(np.stack(frames), np.stack([np.stack(shown) for shown in masks]).astype(bool), still.kinds)


def _draw_camera_path(rng: Generator, frames: int, size: int) -> list[_Matrix]:
    """Draw the affine map of the image on each frame: a random walk with inertia."""
    pace = rng.choice(CAMERA_SPEEDS)
    speed = rng.normal(0, 1, 4)
    largest = max(CAMERA_SPEEDS)
    pose, path = np.zeros(4), []
    for _ in range(frames):
        path.append(_affine_matrix(pose, size))
        speed = 0.7 * speed + 0.7 * rng.normal(0, 1, 4)
        pose = pose + speed * pace * np.array([size, size, MAX_TURN / largest, MAX_ZOOM / largest])
    return path


def _affine_matrix(pose: NDArray[np.float64], size: int) -> _Matrix:
    """Convert a pose (shift in x and y, angle, logarithm of the scale) to an affine map (2, 3) about the center."""
    shift_x, shift_y, angle, zoom = pose
    turn = np.exp(zoom) * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = np.full(2, (size - 1) / 2)
    return np.column_stack([turn, center - turn @ center + (shift_x, shift_y)])


def _warp_image(image: NDArray[np.uint8], view: _Matrix, method: int) -> NDArray[np.uint8]:
    """Warp an image or a mask by an affine map. Pixels beyond its border are mirrored."""
    height, width = image.shape[:2]
    return np.asarray(
        cv2.warpAffine(image, view, (width, height), flags=method, borderMode=cv2.BORDER_REFLECT_101), np.uint8
    )
