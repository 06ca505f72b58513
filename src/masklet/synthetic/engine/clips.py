"""Clip composer: objects that move, rotate, bend, occlude each other, leave and return, with exact masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.actors import Actor, Appearance, RigidSprite, create_actor, sway_sprite, turn_mesh
from masklet.synthetic.engine.asset_bank import AssetBank
from masklet.synthetic.engine.backgrounds import make_random_canvas
from masklet.synthetic.engine.blending import cast_shadow, paste, randomize_edge, restyle
from masklet.synthetic.engine.camera_effects import apply_camera_effects
from masklet.synthetic.engine.motion import (
    Camera,
    sample_camera,
    sample_crossing_paths,
    sample_curve,
    sample_exit_path,
    sample_passing_path,
)
from masklet.synthetic.engine.objects import sample_object
from masklet.synthetic.engine.samples import Clip, TargetKind
from masklet.synthetic.engine.targets import MIN_TARGET_SHARE, Scene
from masklet.synthetic.image_filters import warp
from masklet.synthetic.rendering.renderer import TexturedMesh

Floats = NDArray[np.float32]

BLUR_SUBFRAMES = 4
"""Number of moments whose mean is a frame with motion blur."""


@dataclass(frozen=True, slots=True)
class ClipSettings:
    """Content of composed clips.

    Attributes:
        objects: Smallest and largest number of objects, without twins and occluders.
        area: Range of the areas at the start, in shares of the image.
        meshes: Probability that an object is a rotating mesh.
        twins: Probability of two objects of the same appearance that swap sides.
        occluder: Probability of an object that passes in front of another.
        leaving: Probability that an object leaves the image and returns.
        motion_blur: Probability of motion blur.
        reversal: Probability that the clip is reversed.
    """

    objects: tuple[int, int] = (1, 4)
    area: tuple[float, float] = (0.01, 0.3)
    meshes: float = 0.3
    twins: float = 0.2
    occluder: float = 0.3
    leaving: float = 0.2
    motion_blur: float = 0.15
    reversal: float = 0.15


@dataclass(frozen=True, slots=True)
class ClipComposer:
    """Composes clips of `frames` frames and `size` × `size` pixels. Each seed is another sequence of clips."""

    bank: AssetBank
    meshes: tuple[TexturedMesh, ...]
    size: int
    frames: int
    seed: int
    settings: ClipSettings = field(default_factory=ClipSettings)

    def sample(self, index: int) -> Clip:
        """Compose clip number `index`, with an object that is visible on the first frame.

        The same seed and number give the same clip.
        """
        for attempt in range(100):
            rng = np.random.default_rng((self.seed, index, attempt))
            clip = self._compose(rng)
            if clip is not None:
                return clip
        raise AssertionError(f"no object in 100 clips (seed {self.seed}, index {index})")

    def _compose(self, rng: Generator) -> Clip | None:
        actors, camera = self._create_actors(rng), sample_camera(rng)
        scene = _ClipScene(rng, make_random_canvas(self.bank, rng, 2 * self.size).image, actors, camera, self.size)
        exposure = 0.6 / self.frames if rng.random() < self.settings.motion_blur else 0.0
        times = np.linspace(0, 1, self.frames)
        recordings = [scene.record(float(time), exposure) for time in times]
        if rng.random() < self.settings.reversal:
            recordings.reverse()
        labels = np.stack([numbers for _, numbers in recordings])
        min_pixels = max(16, MIN_TARGET_SHARE * self.size**2)
        areas = np.stack([(labels == number).sum((1, 2)) for number in range(1, len(actors) + 1)])
        at_first = areas[:, 0] >= min_pixels
        visible = [*np.flatnonzero(at_first) + 1, *np.flatnonzero(~at_first & (areas.max(1) >= 4 * min_pixels)) + 1]
        if not at_first.any():
            return None
        kinds: tuple[TargetKind, ...] = tuple("instance" for _ in visible)
        masks = np.stack([labels == number for number in visible], 1)
        return Clip(np.stack([image for image, _ in recordings]), masks, kinds)

    def _create_actors(self, rng: Generator) -> list[Actor]:
        """Create the actors in the order of drawing, the farthest first."""
        settings = self.settings
        low, high = settings.objects
        actors = [self._create_actor(rng) for _ in range(int(rng.integers(low, high + 1)))]
        if rng.random() < settings.twins:
            actors += self._create_twins(rng)
        order = rng.permutation(len(actors))
        actors = [actors[number] for number in order]
        if rng.random() < settings.occluder:
            hidden = actors[int(rng.integers(len(actors)))]
            area = self.size**2 * rng.uniform(0.04, 0.2)
            path = sample_passing_path(rng, hidden.path.at(0.5))
            actors.append(create_actor(self._sample_appearance(rng), rng, area, self.size, path))
        return actors

    def _create_actor(self, rng: Generator) -> Actor:
        leaves = rng.random() < self.settings.leaving
        path = (
            sample_exit_path(rng)
            if leaves
            else sample_curve(rng, rng.uniform(0.2, 0.8, 2), rng.choice([0.02, 0.1, 0.2]))
        )
        return create_actor(self._sample_appearance(rng), rng, self._sample_area(rng), self.size, path)

    def _create_twins(self, rng: Generator) -> list[Actor]:
        """Create two actors with the same appearance that swap sides."""
        appearance, area = self._sample_appearance(rng), self.size**2 * rng.uniform(0.02, 0.1)
        style = int(rng.integers(2**31))
        pair = [create_actor(appearance, rng, area, self.size, path) for path in sample_crossing_paths(rng)]
        return [Actor(a.appearance, a.pose, a.path, a.growth, a.spin, style) for a in pair]

    def _sample_area(self, rng: Generator) -> float:
        low, high = self.settings.area
        return float(np.exp(rng.uniform(np.log(low), np.log(high)))) * self.size**2

    def _sample_appearance(self, rng: Generator) -> Appearance:
        if self.meshes and rng.random() < self.settings.meshes:
            return turn_mesh(self.meshes[int(rng.integers(len(self.meshes)))], rng, self.size)
        sprite = sample_object(self.bank, rng)
        return sway_sprite(sprite, rng) if rng.random() < 0.5 else RigidSprite(sprite)


class _ClipScene:
    """A canvas with actors and a camera, which renders a frame for any time."""

    def __init__(
        self, rng: Generator, canvas: NDArray[np.uint8], actors: Sequence[Actor], camera: Camera, size: int
    ) -> None:
        self.canvas, self.actors, self.camera, self.size = canvas.astype(np.float32), actors, camera, size
        self.recording = int(rng.integers(2**31))
        self.drift = sample_curve(rng, np.zeros(4), rng.choice([0.0, 0.05]))

    def record(self, time: float, exposure: float) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return the recorded frame (S, S, 3) uint8 and the numbers of the visible actors (S, S) from 1.

        The frame is the mean over `exposure`, in shares of the clip.
        """
        moments = (
            time + exposure * (np.arange(BLUR_SUBFRAMES) / (BLUR_SUBFRAMES - 1) - 0.5) if exposure else np.array([time])
        )
        images, labels = zip(*[self._render(float(moment)) for moment in moments], strict=True)
        light = 1 + self.drift.at(time)
        image = np.mean(images, axis=0, dtype=np.float32) * (light[:3] * light[3]).astype(np.float32)
        grain = np.random.default_rng((self.recording, round(time * 10**6)))
        recorded = apply_camera_effects(image, np.random.default_rng(self.recording), grain)
        return recorded, labels[0] if len(labels) == 1 else _vote_labels(np.stack(labels))

    def _render(self, time: float) -> tuple[Floats, NDArray[np.int32]]:
        view = self.camera.at(time, self.size)
        image = warp(self.canvas, _canvas_view(view, self.size), (self.size, self.size), cv2.BORDER_REFLECT)
        scene = Scene.empty(self.size, None)
        for actor in self.actors:
            layer = actor.make_layer(time, view, self.size)
            if layer is None:
                scene.full_areas.append(0.0)  # the number of the actor stays used
                continue
            rng = np.random.default_rng(actor.style_seed)  # the same light and blending at every time
            background = image[layer.slices]
            layer = restyle(randomize_edge(layer, rng), background, rng)
            if rng.random() < 0.3:
                cast_shadow(background, layer, rng)
            paste(background, layer, rng)
            scene.add(layer)
        return image, scene.objects


def _canvas_view(view: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return the camera matrix for a canvas of twice the image's size, with a margin of half an image on every side."""
    return np.column_stack([view[:, :2], view[:, 2] - view[:, :2] @ np.full(2, size / 2)])


def _vote_labels(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the actor that is visible at each pixel for at least half of the moments, or 0."""
    result = np.zeros(labels.shape[1:], np.int32)
    for number in range(1, int(labels.max()) + 1):
        result[(labels == number).mean(0) >= 0.5] = number
    return result
