"""Placement of objects: poses, and the layer of a posed sprite on the canvas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.sprites import Sprite
from masklet.synthetic.image_filters import displace, displace_labels, enlarge, halve, warp, warp_labels

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A sprite that is resampled for its place on the canvas.

    Attributes:
        color: RGB (h, w, 3) float32, 0 to 255.
        alpha: Alpha (h, w) float32, 0 to 1.
        corner: Upper left corner (x, y) on the canvas.
        parts: Part numbers (h, w) uint8, or None.
        full_area: Area of the object in pixels, with the part outside of the canvas.
    """

    color: NDArray[np.float32]
    alpha: NDArray[np.float32]
    corner: tuple[int, int]
    parts: NDArray[np.uint8] | None
    full_area: float

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rows and columns of the canvas that the layer covers."""
        x, y = self.corner
        height, width = self.alpha.shape
        return slice(y, y + height), slice(x, x + width)


def sample_pose(sprite: Sprite, rng: Generator, area: float) -> Matrix:
    """Sample a matrix (2, 2) that rotates, shears, stretches and mirrors a sprite to an area of `area` pixels."""
    turn = np.radians(rng.normal(0, 12) if rng.random() < 0.7 else rng.uniform(-180, 180))
    stretch, shear = np.exp(rng.normal(0, 0.12)), rng.normal(0, 0.12)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = rotation @ np.array([[mirror * stretch, shear], [0, 1 / stretch]])
    return np.asarray(matrix * np.sqrt(area / max(sprite.area, 1)))


def compute_half_extent(sprite: Sprite, pose: Matrix) -> Matrix:
    """Return half the width and height of the bounding box of a posed sprite."""
    height, width = sprite.rgba.shape[:2]
    return np.asarray(np.abs(pose) @ np.array([width / 2, height / 2]))


def place_sprite(sprite: Sprite, pose: Matrix, center: Matrix, size: int, margin: int = 0) -> Layer | None:
    """Resample a sprite for its place on the canvas.

    Args:
        sprite: The sprite.
        pose: Matrix (2, 2) from the sprite's pixels to the canvas's.
        center: Its center (x, y) on the canvas.
        size: Height and width of the canvas in pixels.
        margin: Transparent pixels around it, for shadows.

    Returns:
        The layer, None if it is outside of the canvas.
    """
    half = compute_half_extent(sprite, pose) + margin
    low = np.maximum(np.floor(center - half), 0).astype(int)
    high = np.minimum(np.ceil(center + half), size).astype(int)
    width, height = int(high[0] - low[0]), int(high[1] - low[1])
    if width < 2 or height < 2:
        return None
    whole = sprite.area * abs(float(np.linalg.det(pose)))
    rgba, parts, pose = _halve_for_pose(sprite, pose)
    middle = np.array([rgba.shape[1], rgba.shape[0]]) / 2 - 0.5
    matrix = np.column_stack([pose, center - 0.5 - low - pose @ middle])
    pixels = warp(rgba, matrix, (height, width))
    color, alpha = pixels[..., :3].astype(np.float32), pixels[..., 3].astype(np.float32) * np.float32(1 / 255)
    if parts is not None:
        parts = warp_labels(parts, matrix, (height, width))
    return Layer(color, alpha, (int(low[0]), int(low[1])), parts, whole)


def _halve_for_pose(sprite: Sprite, pose: Matrix) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, Matrix]:
    """Halve the sprite while the pose scales it by less than 0.55, against aliasing."""
    rgba, parts = sprite.rgba, sprite.parts
    scale = np.sqrt(abs(pose[0, 0] * pose[1, 1] - pose[0, 1] * pose[1, 0]))
    while scale < 0.55 and rgba.shape[0] % 2 == 0 and rgba.shape[1] % 2 == 0:
        rgba, parts = halve(rgba), None if parts is None else np.ascontiguousarray(parts[::2, ::2])
        scale, pose = scale * 2, pose * 2
    return rgba, parts, pose


def bend_randomly(sprite: Sprite, rng: Generator, strength: float) -> Sprite:
    """Bend a sprite with a smooth random field; points move by up to about `strength` times its size."""
    height, width = sprite.rgba.shape[:2]
    cells = int(rng.integers(3, 5))
    coarse = rng.normal(0, strength / 2, (2, cells, cells)).astype(np.float32) * max(height, width)
    shift = np.stack([enlarge(field, (height, width)) for field in coarse])
    parts = None if sprite.parts is None else displace_labels(sprite.parts, shift)
    return Sprite(displace(sprite.rgba, shift), parts)
