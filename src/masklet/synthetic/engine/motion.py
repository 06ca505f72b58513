"""How things move: smooth random curves over time, and the paths that make a clip hard to follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.shapes import catmull_rom

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A smooth curve through `knots` (K, D) at evenly spaced times from 0 to 1; outside it runs on at its ends."""

    knots: Values

    def at(self, time: float) -> Values:
        """The value (D,) at `time`."""
        ticks = np.array([np.clip(time, -0.2, 1.2) * (len(self.knots) - 1)])
        inside = np.clip(ticks, 0, len(self.knots) - 1)
        value = catmull_rom(inside, self.knots)[0]
        edge = self.knots[1] - self.knots[0] if ticks[0] < 0 else self.knots[-1] - self.knots[-2]
        return np.asarray(value + (ticks - inside) * edge)


def wander(rng: Generator, start: Values, spread: float, knots: int = 4) -> Curve:
    """A random walk around `start` (D,) that is drawn back to it: each knot about `spread` from the one before."""
    points = [start]
    for _ in range(knots - 1):
        points.append(points[-1] + 0.4 * (start - points[-1]) + rng.normal(0, spread, start.shape))
    return Curve(np.array(points))


def crossing(rng: Generator) -> tuple[Curve, Curve]:
    """Two paths (x, y as shares of the picture) that change sides and meet half-way."""
    left, right = rng.uniform(0.15, 0.35), rng.uniform(0.65, 0.85)
    height, offset = rng.uniform(0.3, 0.7), rng.normal(0, 0.05)
    bend = rng.normal(0, 0.06, (2, 3))
    first = np.array([[left, height + bend[0, 0]], [0.5, height + bend[0, 1]], [right, height + bend[0, 2]]])
    second = np.array([[right, height + bend[1, 0]], [0.5, height + offset], [left, height + bend[1, 2]]])
    if rng.random() < 0.3:
        first, second = first[:, ::-1], second[:, ::-1]
    return Curve(first), Curve(second)


def leave_and_return(rng: Generator) -> Curve:
    """A path that starts inside, is outside the picture in the middle, and comes back elsewhere."""
    start, end = rng.uniform(0.25, 0.75, (2, 2))
    side = rng.integers(4)
    away = np.array([[-0.45, 0.5], [1.45, 0.5], [0.5, -0.45], [0.5, 1.45]][int(side)]) + rng.normal(0, 0.1, 2)
    return Curve(np.array([start, start + 0.15 * (away - start), away, end + 0.2 * (away - end), end]))


def passing(rng: Generator, by: Values) -> Curve:
    """A path right across the picture that passes over the point `by` (x, y) half-way."""
    angle = rng.uniform(0, 2 * np.pi)
    way = np.array([np.cos(angle), np.sin(angle)]) * 0.9
    return Curve(np.array([by - way, by + rng.normal(0, 0.03, 2), by + way]))


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """A camera over a flat world: pan in shares of the picture, zoom as a logarithm, roll in radians, shake."""

    pan: Curve
    zoom: Curve
    roll: Curve
    shake: Curve

    def at(self, time: float, size: int) -> Values:
        """The affine matrix (2, 3) from the world's pixels to the picture's."""
        scale, angle = float(np.exp(self.zoom.at(time)[0])), float(self.roll.at(time)[0])
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.full(2, size / 2)
        shift = (self.pan.at(time) + self.shake.at(time)) * size
        return np.column_stack([turn, middle - turn @ (middle + shift)])


def random_camera(rng: Generator) -> Camera:
    """Standing for a third of the clips; otherwise panning, zooming, rolling and shaking a little."""
    still = np.zeros(2)
    if rng.random() < 0.33:
        rest = Curve(np.zeros((2, 2)))
        return Camera(rest, Curve(np.zeros((2, 1))), Curve(np.zeros((2, 1))), rest)
    trembling = rng.uniform(0.001, 0.012) if rng.random() < 0.4 else 0.0
    return Camera(
        wander(rng, still, rng.uniform(0.02, 0.18)),
        wander(rng, np.zeros(1), rng.uniform(0, 0.15)),
        wander(rng, np.zeros(1), rng.uniform(0, 0.06)),
        Curve(rng.normal(0, trembling, (12, 2))),
    )
