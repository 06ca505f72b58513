"""Actors of a clip: moving objects with an appearance and a path over time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.motion import Curve, Values, sample_curve
from masklet.synthetic.engine.placement import Layer, place_sprite
from masklet.synthetic.engine.sprites import Sprite, make_sprite
from masklet.synthetic.image_filters import displace, displace_labels, enlarge
from masklet.synthetic.rendering.renderer import TexturedMesh, View, render, sample_view

MAX_RENDER_SIDE = 128
"""Meshes in clips are rendered in a square of at most this many pixels a side."""


class Appearance(Protocol):
    """Appearance of an object over time. Its sprites have the same center at all times."""

    def at(self, time: float) -> Sprite:
        """Return the sprite at a time from 0 to 1."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class BendingSprite:
    """A sprite that bends periodically.

    Attributes:
        sprite: The sprite.
        sway: Two fields of shifts in x and y (2, cells, cells) in shares of the sprite's size: the sine and the cosine
            part of the movement.
        speed: Periods per clip.
    """

    sprite: Sprite
    sway: tuple[NDArray[np.float32], NDArray[np.float32]]
    speed: float

    def at(self, time: float) -> Sprite:
        height, width = self.sprite.rgba.shape[:2]
        phase = 2 * np.pi * self.speed * time
        field = (self.sway[0] * np.sin(phase) + self.sway[1] * np.cos(phase)) * np.float32(max(height, width))
        shift = np.stack([enlarge(plane.astype(np.float32), (height, width)) for plane in field])
        parts = None if self.sprite.parts is None else displace_labels(self.sprite.parts, shift)
        return Sprite(displace(self.sprite.rgba, shift), parts)


@dataclass(frozen=True, slots=True, eq=False)
class RigidSprite:
    """A sprite that keeps its shape."""

    sprite: Sprite

    def at(self, time: float) -> Sprite:
        del time  # the same at all times
        return self.sprite


@dataclass(frozen=True, slots=True, eq=False)
class TurningMesh:
    """A mesh that rotates in space and is rendered for every frame.

    Attributes:
        mesh: The mesh.
        view: Camera and light.
        turn: Azimuth, elevation and roll in radians, added to those of the view.
        side: Side of the rendered square in pixels.
    """

    mesh: TexturedMesh
    view: View
    turn: Curve
    side: int = MAX_RENDER_SIDE

    def at(self, time: float) -> Sprite:
        azimuth, elevation, roll = self.turn.at(time)
        view = replace(
            self.view,
            azimuth=self.view.azimuth + azimuth,
            elevation=self.view.elevation + elevation,
            roll=self.view.roll + roll,
        )
        rgba, _ = render(self.mesh, view, self.side)
        return make_sprite(rgba, self.side + 4)


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """A moving object. Its curves are over time from 0 to 1.

    Attributes:
        appearance: Its sprite over time.
        pose: Its pose at the start, a matrix (2, 2).
        path: Its center (x, y) in shares of the image.
        growth: Logarithm of its relative size.
        spin: Its rotation in the image, in radians.
        style_seed: Random seed of its light and blending.
    """

    appearance: Appearance
    pose: Values
    path: Curve
    growth: Curve
    spin: Curve
    style_seed: int

    def make_layer(self, time: float, camera: Values, size: int) -> Layer | None:
        """Return the layer of the actor at a time, None if it is outside of the image.

        Args:
            time: The time from 0 to 1.
            camera: Affine matrix (2, 3) from the world's pixels to the image's.
            size: Height and width of the image in pixels.
        """
        angle, scale = float(self.spin.at(time)[0]), float(np.exp(self.growth.at(time)[0]))
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        center = camera[:, :2] @ (self.path.at(time) * size) + camera[:, 2]
        sprite = self.appearance.at(time)
        margin = int(0.1 * max(sprite.rgba.shape[:2]) * float(np.sqrt(abs(np.linalg.det(turn @ self.pose)))))
        return place_sprite(sprite, camera[:, :2] @ turn @ self.pose, center, size, margin)


def turn_mesh(mesh: TexturedMesh, rng: Generator, side: int) -> TurningMesh:
    """Rotate a mesh about the vertical axis at a random speed, and a little about the others."""
    speed = rng.normal(0, 1.2)
    ends = np.array([[0, 0, 0], [speed, rng.normal(0, 0.25), rng.normal(0, 0.1)]])
    bow = ends.mean(0) + rng.normal(0, 0.1, 3)
    return TurningMesh(mesh, sample_view(rng), Curve(np.array([ends[0], bow, ends[1]])), min(side, MAX_RENDER_SIDE))


def sway_sprite(sprite: Sprite, rng: Generator) -> BendingSprite:
    """Bend a sprite with a random field of 1 to 3 % of its size (standard deviation), 0.3 to 1.5 periods per clip."""
    cells, strength = int(rng.integers(3, 5)), rng.uniform(0.01, 0.03)
    sine, cosine = rng.normal(0, strength, (2, 2, cells, cells)).astype(np.float32)
    return BendingSprite(sprite, (sine, cosine), rng.uniform(0.3, 1.5))


def create_actor(appearance: Appearance, rng: Generator, area: float, size: int, path: Curve) -> Actor:
    """Create an actor on a path, with random growth and spin and an area of `area` pixels at the start."""
    first = appearance.at(0.0)
    scale = np.sqrt(area / max(first.area, 1)) * (-1.0 if rng.random() < 0.5 else 1.0)
    pose = np.array([[scale, 0.0], [0.0, abs(scale)]])
    spin = sample_curve(rng, rng.normal(0, 0.2, 1), rng.choice([0.03, 0.15, 0.6]), knots=3)
    growth = sample_curve(rng, np.zeros(1), rng.uniform(0, 0.25), knots=3)
    return Actor(appearance, pose, path, growth, spin, int(rng.integers(2**31)))
