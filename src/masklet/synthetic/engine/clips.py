"""Clips without end: objects that move, turn, bend, cover each other, leave and come back, with exact masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.actors import Actor, Appearance, Rigid, on_its_way, swaying, turning
from masklet.synthetic.engine.asset_bank import Bank
from masklet.synthetic.engine.backgrounds import random_canvas
from masklet.synthetic.engine.blending import cast_shadow, paste, restyled, with_random_edge
from masklet.synthetic.engine.camera_effects import photographed
from masklet.synthetic.engine.motion import Camera, crossing, leave_and_return, passing, random_camera, wander
from masklet.synthetic.engine.objects import random_object
from masklet.synthetic.engine.samples import Clip, TargetKind
from masklet.synthetic.engine.targets import LEAST_SHARE, Scene
from masklet.synthetic.image_filters import warped
from masklet.synthetic.rendering.renderer import Model

Floats = NDArray[np.float32]

SUBFRAMES = 4
"""A blurred frame is the mean of this many moments."""


@dataclass(frozen=True, slots=True)
class ClipSettings:
    """How many objects besides twins and occluders, how large they start, and how often each thing happens."""

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
    """`sample(index)` gives clip number `index` of the endless set of `seed`: `frames` of `size` pixels square."""

    bank: Bank
    models: tuple[Model, ...]
    size: int
    frames: int
    seed: int
    settings: ClipSettings = field(default_factory=ClipSettings)

    def sample(self, index: int) -> Clip:
        """Clip `index`: the same for ever for this seed; at least one object, visible in the first frame."""
        for attempt in range(100):
            rng = np.random.default_rng((self.seed, index, attempt))
            clip = self._compose(rng)
            if clip is not None:
                return clip
        raise AssertionError(f"no object in 100 clips (seed {self.seed}, index {index})")

    def _compose(self, rng: Generator) -> Clip | None:
        actors, camera = self._cast(rng), random_camera(rng)
        stage = _Stage(rng, random_canvas(self.bank, rng, 2 * self.size).image, actors, camera, self.size)
        exposure = 0.6 / self.frames if rng.random() < self.settings.motion_blur else 0.0
        times = np.linspace(0, 1, self.frames)
        shots = [stage.shot(float(time), exposure) for time in times]
        if rng.random() < self.settings.reversal:
            shots.reverse()
        labels = np.stack([numbers for _, numbers in shots])
        least = max(16, LEAST_SHARE * self.size**2)
        areas = np.stack([(labels == number).sum((1, 2)) for number in range(1, len(actors) + 1)])
        at_first = areas[:, 0] >= least
        alive = [*np.flatnonzero(at_first) + 1, *np.flatnonzero(~at_first & (areas.max(1) >= 4 * least)) + 1]
        if not at_first.any():
            return None
        kinds: tuple[TargetKind, ...] = tuple("instance" for _ in alive)
        masks = np.stack([labels == number for number in alive], 1)
        return Clip(np.stack([image for image, _ in shots]), masks, kinds)

    def _cast(self, rng: Generator) -> list[Actor]:
        """Who plays, the farthest first."""
        settings = self.settings
        low, high = settings.objects
        actors = [self._wanderer(rng) for _ in range(int(rng.integers(low, high + 1)))]
        if rng.random() < settings.twins:
            actors += self._twins(rng)
        order = rng.permutation(len(actors))
        actors = [actors[number] for number in order]
        if rng.random() < settings.occluder:
            hidden = actors[int(rng.integers(len(actors)))]
            area = self.size**2 * rng.uniform(0.04, 0.2)
            path = passing(rng, hidden.place.at(0.5))
            actors.append(on_its_way(self._appearance(rng), rng, area, self.size, path))
        return actors

    def _wanderer(self, rng: Generator) -> Actor:
        leaves = rng.random() < self.settings.leaving
        path = leave_and_return(rng) if leaves else wander(rng, rng.uniform(0.2, 0.8, 2), rng.choice([0.02, 0.1, 0.2]))
        return on_its_way(self._appearance(rng), rng, self._area(rng), self.size, path)

    def _twins(self, rng: Generator) -> list[Actor]:
        """Two objects that look the same and change sides."""
        appearance, area = self._appearance(rng), self.size**2 * rng.uniform(0.02, 0.1)
        style = int(rng.integers(2**31))
        pair = [on_its_way(appearance, rng, area, self.size, path) for path in crossing(rng)]
        return [Actor(a.appearance, a.pose, a.place, a.growth, a.spin, style) for a in pair]

    def _area(self, rng: Generator) -> float:
        low, high = self.settings.area
        return float(np.exp(rng.uniform(np.log(low), np.log(high)))) * self.size**2

    def _appearance(self, rng: Generator) -> Appearance:
        if self.models and rng.random() < self.settings.meshes:
            return turning(self.models[int(rng.integers(len(self.models)))], rng, self.size)
        sprite = random_object(self.bank, rng)
        return swaying(sprite, rng) if rng.random() < 0.5 else Rigid(sprite)


class _Stage:
    """A canvas, its actors and a camera; gives the picture at any moment."""

    def __init__(
        self, rng: Generator, canvas: NDArray[np.uint8], actors: Sequence[Actor], camera: Camera, size: int
    ) -> None:
        self.canvas, self.actors, self.camera, self.size = canvas.astype(np.float32), actors, camera, size
        self.recording = int(rng.integers(2**31))
        self.drift = wander(rng, np.zeros(4), rng.choice([0.0, 0.05]))

    def shot(self, time: float, exposure: float) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """The recorded frame (S, S, 3) and who is seen where (S, S), numbered from 1; blurred over `exposure`."""
        moments = time + exposure * (np.arange(SUBFRAMES) / (SUBFRAMES - 1) - 0.5) if exposure else np.array([time])
        pictures, labels = zip(*[self._moment(float(moment)) for moment in moments], strict=True)
        light = 1 + self.drift.at(time)
        picture = np.mean(pictures, axis=0, dtype=np.float32) * (light[:3] * light[3]).astype(np.float32)
        grain = np.random.default_rng((self.recording, round(time * 10**6)))
        recorded = photographed(picture, np.random.default_rng(self.recording), grain)
        return recorded, labels[0] if len(labels) == 1 else _majority(np.stack(labels))

    def _moment(self, time: float) -> tuple[Floats, NDArray[np.int32]]:
        view = self.camera.at(time, self.size)
        image = warped(self.canvas, _beneath(view, self.size), (self.size, self.size), cv2.BORDER_REFLECT)
        scene = Scene.empty(self.size, None)
        for actor in self.actors:
            layer = actor.layer(time, view, self.size)
            if layer is None:
                scene.whole.append(0.0)  # keeps its number
                continue
            rng = np.random.default_rng(actor.style)  # the same light and seam at every moment
            ground = image[layer.window]
            layer = restyled(with_random_edge(layer, rng), ground, rng)
            if rng.random() < 0.3:
                cast_shadow(ground, layer, rng)
            paste(ground, layer, rng)
            scene.add(layer)
        return image, scene.objects


def _beneath(view: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The camera over a canvas twice the picture's size: half a picture of room on every side."""
    return np.column_stack([view[:, :2], view[:, 2] - view[:, :2] @ np.full(2, size / 2)])


def _majority(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Who is seen at each pixel for at least half of the moments; 0 where nobody is."""
    result = np.zeros(labels.shape[1:], np.int32)
    for number in range(1, int(labels.max()) + 1):
        result[(labels == number).mean(0) >= 0.5] = number
    return result
