"""Pictures without end: objects laid on a canvas, with the exact visible mask of everything in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.asset_bank import Bank
from masklet.synthetic.engine.backgrounds import random_canvas
from masklet.synthetic.engine.blending import cast_shadow, leave_traces, paste, restyled, with_random_edge
from masklet.synthetic.engine.camera_effects import photographed
from masklet.synthetic.engine.objects import random_object
from masklet.synthetic.engine.placement import Layer, Matrix, lay, random_pose, reach
from masklet.synthetic.engine.samples import Sample
from masklet.synthetic.engine.sprites import Sprite
from masklet.synthetic.engine.targets import Scene, targets
from masklet.synthetic.image_filters import blurred

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PictureSettings:
    """How full a picture is: number of objects (least, most) and the area of each as a share of the picture."""

    objects: tuple[int, int] = (1, 12)
    area: tuple[float, float] = (0.003, 0.6)


@dataclass(frozen=True, slots=True)
class Composer:
    """`sample(index)` gives picture number `index` of the endless set named by `seed`, `size` pixels square."""

    bank: Bank
    size: int
    seed: int
    settings: PictureSettings = field(default_factory=PictureSettings)

    def sample(self, index: int) -> Sample:
        """Picture `index`: the same for ever, for this seed, size, bank and settings; at least one target."""
        for attempt in range(100):
            rng = np.random.default_rng((self.seed, index, attempt))
            sample = self._compose(rng)
            if sample is not None:
                return sample
        raise AssertionError(f"no target in 100 pictures (seed {self.seed}, index {index})")

    def _compose(self, rng: Generator) -> Sample | None:
        canvas = random_canvas(self.bank, rng, self.size)
        image = canvas.image.astype(np.float32)
        if rng.random() < 0.25:
            image = blurred(image, rng.uniform(0.5, 3) * self.size / 256)  # defocus behind the objects
        if rng.random() < 0.35:
            self._false_edges(image, rng)
        scene = Scene.empty(self.size, canvas.regions)
        for sprite, pose, centre in self._plan(rng):
            layer = lay(sprite, pose, centre, self.size, margin=int(reach(sprite, pose).max() * 0.15))
            if layer is not None:
                _add(image, scene, layer, rng)
        chosen = targets(scene, rng)
        if not chosen:
            return None
        masks, kinds = zip(*chosen, strict=True)
        return Sample(photographed(image, rng), np.stack(masks), tuple(kinds), exhaustive=canvas.bare)

    def _plan(self, rng: Generator) -> list[tuple[Sprite, Matrix, Matrix]]:
        """Sprites with poses and places, the farthest first."""
        low, high = self.settings.objects
        count = int(np.clip(round(np.exp(rng.uniform(np.log(low), np.log(high + 0.99)))), low, high))
        areas = self._areas(rng, count)
        gathered = rng.random() < 0.35
        plan: list[tuple[Sprite, Matrix, Matrix]] = []
        for area in areas:
            sprite = plan[-1][0] if plan and rng.random() < 0.25 else random_object(self.bank, rng)
            pose = random_pose(sprite, rng, area * self.size**2)
            neighbour = plan[int(rng.integers(len(plan)))] if plan and gathered else None
            plan.append((sprite, pose, self._place(rng, sprite, pose, neighbour)))
        return plan

    def _areas(self, rng: Generator, count: int) -> NDArray[np.float64]:
        low, high = self.settings.area
        crowded = max(low * 1.01, min(high, 1.6 / count))
        areas = np.exp(rng.uniform(np.log(low), np.log(crowded), count))
        return np.sort(areas)[::-1] if rng.random() < 0.6 else areas

    def _place(
        self, rng: Generator, sprite: Sprite, pose: Matrix, neighbour: tuple[Sprite, Matrix, Matrix] | None
    ) -> Matrix:
        half = reach(sprite, pose)
        if neighbour is not None:
            angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.1)
            apart = (half + reach(neighbour[0], neighbour[1])) * distance * np.array([np.cos(angle), np.sin(angle)])
            return np.asarray(np.clip(neighbour[2] + apart, 0.05 * self.size, 0.95 * self.size))
        if rng.random() < 0.15:  # cut by the border
            return rng.uniform(0, 1, 2) * self.size
        inset = np.minimum(half, self.size / 2)
        return np.asarray(inset + rng.random(2) * (self.size - 2 * inset))

    def _false_edges(self, image: Floats, rng: Generator) -> None:
        """Seams without objects: outlines of sprites in which the background is changed a little."""
        for _ in range(int(rng.integers(1, 4))):
            sprite = random_object(self.bank, rng)
            pose = random_pose(sprite, rng, rng.uniform(0.01, 0.15) * self.size**2)
            layer = lay(sprite, pose, rng.uniform(0, self.size, 2), self.size)
            if layer is not None:
                leave_traces(image[layer.window], layer.alpha, rng)


def _add(image: Floats, scene: Scene, layer: Layer, rng: Generator) -> None:
    """Blend one layer into the picture and enter it into the scene."""
    ground = image[layer.window]
    layer = restyled(with_random_edge(layer, rng), ground, rng)
    if rng.random() < 0.4:
        cast_shadow(ground, layer, rng)
    paste(ground, layer, rng)
    scene.add(layer)
