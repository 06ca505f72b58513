"""Where an object comes to lie: its size, its turn, its place, and the layer of pixels that this gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.sprites import Sprite
from masklet.synthetic.image_filters import bent, bent_labels, enlarged, halved, warped, warped_labels

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A sprite as it will appear: `colour` (h, w, 3) 0-255, `alpha` (h, w) 0-1, its `corner` (x, y) on the canvas.

    `parts` (h, w) labels the object's parts, or None. `whole` is the area that the object would have uncut, in pixels.
    """

    colour: NDArray[np.float32]
    alpha: NDArray[np.float32]
    corner: tuple[int, int]
    parts: NDArray[np.uint8] | None
    whole: float

    @property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns of the canvas that the layer covers."""
        x, y = self.corner
        height, width = self.alpha.shape
        return slice(y, y + height), slice(x, x + width)


def random_pose(sprite: Sprite, rng: Generator, area: float) -> Matrix:
    """A 2x2 matrix that gives the sprite's opaque part `area` pixels: turned, sheared, stretched and mirrored."""
    turn = np.radians(rng.normal(0, 12) if rng.random() < 0.7 else rng.uniform(-180, 180))
    stretch, shear = np.exp(rng.normal(0, 0.12)), rng.normal(0, 0.12)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = rotation @ np.array([[mirror * stretch, shear], [0, 1 / stretch]])
    return np.asarray(matrix * np.sqrt(area / max(sprite.area, 1)))


def reach(sprite: Sprite, pose: Matrix) -> Matrix:
    """Half the extent (x, y) of the posed sprite's bounding box."""
    height, width = sprite.rgba.shape[:2]
    return np.asarray(np.abs(pose) @ np.array([width / 2, height / 2]))


def lay(sprite: Sprite, pose: Matrix, centre: Matrix, size: int, margin: int = 0) -> Layer | None:
    """Resample the sprite under `pose` around `centre` (x, y); None where nothing of it falls on the canvas.

    `margin` transparent pixels are left around it, for shadows.
    """
    half = reach(sprite, pose) + margin
    low = np.maximum(np.floor(centre - half), 0).astype(int)
    high = np.minimum(np.ceil(centre + half), size).astype(int)
    width, height = int(high[0] - low[0]), int(high[1] - low[1])
    if width < 2 or height < 2:
        return None
    whole = sprite.area * abs(float(np.linalg.det(pose)))
    rgba, parts, pose = _shrunk(sprite, pose)
    middle = np.array([rgba.shape[1], rgba.shape[0]]) / 2 - 0.5
    matrix = np.column_stack([pose, centre - 0.5 - low - pose @ middle])
    pixels = warped(rgba, matrix, (height, width))
    colour, alpha = pixels[..., :3].astype(np.float32), pixels[..., 3].astype(np.float32) * np.float32(1 / 255)
    if parts is not None:
        parts = warped_labels(parts, matrix, (height, width))
    return Layer(colour, alpha, (int(low[0]), int(low[1])), parts, whole)


def _shrunk(sprite: Sprite, pose: Matrix) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, Matrix]:
    """Halve the sprite while the pose shrinks it by more than half, so that no detail aliases."""
    rgba, parts = sprite.rgba, sprite.parts
    scale = np.sqrt(abs(pose[0, 0] * pose[1, 1] - pose[0, 1] * pose[1, 0]))
    while scale < 0.55 and rgba.shape[0] % 2 == 0 and rgba.shape[1] % 2 == 0:
        rgba, parts = halved(rgba), None if parts is None else np.ascontiguousarray(parts[::2, ::2])
        scale, pose = scale * 2, pose * 2
    return rgba, parts, pose


def wobbled(sprite: Sprite, rng: Generator, strength: float) -> Sprite:
    """The sprite bent smoothly: each point moved by up to about `strength` of its size."""
    height, width = sprite.rgba.shape[:2]
    cells = int(rng.integers(3, 5))
    coarse = rng.normal(0, strength / 2, (2, cells, cells)).astype(np.float32) * max(height, width)
    shift = np.stack([enlarged(field, (height, width)) for field in coarse])
    parts = None if sprite.parts is None else bent_labels(sprite.parts, shift)
    return Sprite(bent(sprite.rgba, shift), parts)
