"""The things that move in a clip: what one looks like at a moment, and where it is then."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.motion import Curve, Values, wander
from masklet.synthetic.engine.placement import Layer, lay
from masklet.synthetic.engine.sprites import Sprite, make_sprite
from masklet.synthetic.image_filters import bent, bent_labels, enlarged
from masklet.synthetic.rendering.renderer import Model, View, random_view, render

RENDER_SIDE = 128
"""Meshes in clips are rendered in a square of this many pixels, or of the picture's size where that is less."""


class Appearance(Protocol):
    """What an object looks like at a time from 0 to 1; always a square or box around the same middle."""

    def at(self, time: float) -> Sprite: ...


@dataclass(frozen=True, slots=True, eq=False)
class Flat:
    """A cut-out that bends like cloth or a swimming fish: a thin plate whose coarse field of shifts (x, y) sways."""

    sprite: Sprite
    sway: tuple[NDArray[np.float32], NDArray[np.float32]]
    """Two fields (2, cells, cells), as shares of the sprite's size: the sine and the cosine part of the movement."""
    speed: float

    def at(self, time: float) -> Sprite:
        height, width = self.sprite.rgba.shape[:2]
        phase = 2 * np.pi * self.speed * time
        field = (self.sway[0] * np.sin(phase) + self.sway[1] * np.cos(phase)) * np.float32(max(height, width))
        shift = np.stack([enlarged(plane.astype(np.float32), (height, width)) for plane in field])
        parts = None if self.sprite.parts is None else bent_labels(self.sprite.parts, shift)
        return Sprite(bent(self.sprite.rgba, shift), parts)


@dataclass(frozen=True, slots=True, eq=False)
class Rigid:
    """A cut-out that keeps its shape."""

    sprite: Sprite

    def at(self, time: float) -> Sprite:
        del time  # it looks the same at all times
        return self.sprite


@dataclass(frozen=True, slots=True, eq=False)
class Turning:
    """A mesh that turns in space: rendered anew for every moment."""

    model: Model
    view: View
    turn: Curve
    """Azimuth, elevation and roll (radians) on top of the view's."""
    side: int = RENDER_SIDE

    def at(self, time: float) -> Sprite:
        azimuth, elevation, roll = self.turn.at(time)
        view = replace(
            self.view,
            azimuth=self.view.azimuth + azimuth,
            elevation=self.view.elevation + elevation,
            roll=self.view.roll + roll,
        )
        rgba, _ = render(self.model, view, self.side)
        return make_sprite(rgba, self.side + 4)


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """An object and its way through the clip.

    `place` (x, y) in shares of the picture, `growth` the logarithm of its size, `spin` its turn in the picture
    (radians), each over time from 0 to 1; `pose` (2, 2) is its start; `style` seeds how it is lit and blended.
    """

    appearance: Appearance
    pose: Values
    place: Curve
    growth: Curve
    spin: Curve
    style: int

    def layer(self, time: float, camera: Values, size: int) -> Layer | None:
        """Its pixels at `time` seen through `camera` (2, 3); None where it is outside the picture."""
        angle, scale = float(self.spin.at(time)[0]), float(np.exp(self.growth.at(time)[0]))
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = camera[:, :2] @ (self.place.at(time) * size) + camera[:, 2]
        sprite = self.appearance.at(time)
        margin = int(0.1 * max(sprite.rgba.shape[:2]) * float(np.sqrt(abs(np.linalg.det(turn @ self.pose)))))
        return lay(sprite, camera[:, :2] @ turn @ self.pose, centre, size, margin)


def turning(model: Model, rng: Generator, side: int) -> Turning:
    """A mesh that turns at a random speed, up to half a turn in the clip, and nods a little."""
    speed = rng.normal(0, 1.2)
    ends = np.array([[0, 0, 0], [speed, rng.normal(0, 0.25), rng.normal(0, 0.1)]])
    bow = ends.mean(0) + rng.normal(0, 0.1, 3)
    return Turning(model, random_view(rng), Curve(np.array([ends[0], bow, ends[1]])), min(side, RENDER_SIDE))


def swaying(sprite: Sprite, rng: Generator) -> Flat:
    """A cut-out that bends by 2 to 6 % of its size, at most one and a half times to and fro."""
    cells, strength = int(rng.integers(3, 5)), rng.uniform(0.01, 0.03)
    sine, cosine = rng.normal(0, strength, (2, 2, cells, cells)).astype(np.float32)
    return Flat(sprite, (sine, cosine), rng.uniform(0.3, 1.5))


def on_its_way(appearance: Appearance, rng: Generator, area: float, size: int, place: Curve) -> Actor:
    """An actor on the given path, with random growth and spin, `area` pixels large at the start."""
    first = appearance.at(0.0)
    scale = np.sqrt(area / max(first.area, 1)) * (-1.0 if rng.random() < 0.5 else 1.0)
    pose = np.array([[scale, 0.0], [0.0, abs(scale)]])
    spin = wander(rng, rng.normal(0, 0.2, 1), rng.choice([0.03, 0.15, 0.6]), knots=3)
    growth = wander(rng, np.zeros(1), rng.uniform(0, 0.25), knots=3)
    return Actor(appearance, pose, place, growth, spin, int(rng.integers(2**31)))
