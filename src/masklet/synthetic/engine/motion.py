"""Motion over time: smooth random curves, paths of objects, and the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.shapes import interpolate_catmull_rom

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A smooth curve through `knots` (K, D) at equal distances in time from 0 to 1, linear before and after."""

    knots: Values

    def at(self, time: float) -> Values:
        """Return the value (D,) at a time."""
        ticks = np.array([np.clip(time, -0.2, 1.2) * (len(self.knots) - 1)])
        inside = np.clip(ticks, 0, len(self.knots) - 1)
        value = interpolate_catmull_rom(inside, self.knots)[0]
        edge = self.knots[1] - self.knots[0] if ticks[0] < 0 else self.knots[-1] - self.knots[-2]
        return np.asarray(value + (ticks - inside) * edge)


def sample_curve(rng: Generator, start: Values, spread: float, knots: int = 4) -> Curve:
    """Sample a mean-reverting random curve from `start` (D,), with steps of standard deviation `spread` per knot."""
    points = [start]
    for _ in range(knots - 1):
        points.append(points[-1] + 0.4 * (start - points[-1]) + rng.normal(0, spread, start.shape))
    return Curve(np.array(points))


def sample_crossing_paths(rng: Generator) -> tuple[Curve, Curve]:
    """Sample two paths (x, y in shares of the image) that swap sides and meet halfway."""
    left, right = rng.uniform(0.15, 0.35), rng.uniform(0.65, 0.85)
    height, offset = rng.uniform(0.3, 0.7), rng.normal(0, 0.05)
    bend = rng.normal(0, 0.06, (2, 3))
    first = np.array([[left, height + bend[0, 0]], [0.5, height + bend[0, 1]], [right, height + bend[0, 2]]])
    second = np.array([[right, height + bend[1, 0]], [0.5, height + offset], [left, height + bend[1, 2]]])
    if rng.random() < 0.3:
        first, second = first[:, ::-1], second[:, ::-1]
    return Curve(first), Curve(second)


def sample_exit_path(rng: Generator) -> Curve:
    """Sample a path that starts inside the image, leaves it halfway and returns at another place."""
    start, end = rng.uniform(0.25, 0.75, (2, 2))
    side = rng.integers(4)
    away = np.array([[-0.45, 0.5], [1.45, 0.5], [0.5, -0.45], [0.5, 1.45]][int(side)]) + rng.normal(0, 0.1, 2)
    return Curve(np.array([start, start + 0.15 * (away - start), away, end + 0.2 * (away - end), end]))


def sample_passing_path(rng: Generator, point: Values) -> Curve:
    """Sample a path across the image that passes near `point` (x, y) halfway."""
    angle = rng.uniform(0, 2 * np.pi)
    offset = np.array([np.cos(angle), np.sin(angle)]) * 0.9
    return Curve(np.array([point - offset, point + rng.normal(0, 0.03, 2), point + offset]))


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """A camera over a flat world.

    Attributes:
        pan: Shift (x, y) in shares of the image.
        zoom: Logarithm of the scale.
        roll: Rotation in radians.
        shake: Additional shift (x, y) in shares of the image.
    """

    pan: Curve
    zoom: Curve
    roll: Curve
    shake: Curve

    def at(self, time: float, size: int) -> Values:
        """Return the affine matrix (2, 3) from the world's pixels to the image's, at a time and an image size."""
        scale, angle = float(np.exp(self.zoom.at(time)[0])), float(self.roll.at(time)[0])
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.full(2, size / 2)
        shift = (self.pan.at(time) + self.shake.at(time)) * size
        return np.column_stack([turn, middle - turn @ (middle + shift)])


def sample_camera(rng: Generator) -> Camera:
    """Sample a camera: still with probability 0.33, otherwise with pan, zoom, roll and sometimes shake."""
    still = np.zeros(2)
    if rng.random() < 0.33:
        rest = Curve(np.zeros((2, 2)))
        return Camera(rest, Curve(np.zeros((2, 1))), Curve(np.zeros((2, 1))), rest)
    shake = rng.uniform(0.001, 0.012) if rng.random() < 0.4 else 0.0
    return Camera(
        sample_curve(rng, still, rng.uniform(0.02, 0.18)),
        sample_curve(rng, np.zeros(1), rng.uniform(0, 0.15)),
        sample_curve(rng, np.zeros(1), rng.uniform(0, 0.06)),
        Curve(rng.normal(0, shake, (12, 2))),
    )
