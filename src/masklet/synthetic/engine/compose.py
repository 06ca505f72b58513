"""Image composer: objects pasted on a background, with the exact visible mask of each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.asset_bank import AssetBank
from masklet.synthetic.engine.backgrounds import make_random_canvas
from masklet.synthetic.engine.blending import add_false_seam, cast_shadow, paste, randomize_edge, restyle
from masklet.synthetic.engine.camera_effects import apply_camera_effects
from masklet.synthetic.engine.objects import sample_object
from masklet.synthetic.engine.placement import Layer, Matrix, compute_half_extent, place_sprite, sample_pose
from masklet.synthetic.engine.samples import Sample
from masklet.synthetic.engine.sprites import Sprite
from masklet.synthetic.engine.targets import Scene, choose_targets
from masklet.synthetic.image_filters import blur

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """Content of composed images.

    Attributes:
        objects: Smallest and largest number of objects.
        area: Range of the areas of objects, in shares of the image.
    """

    objects: tuple[int, int] = (1, 12)
    area: tuple[float, float] = (0.003, 0.6)


@dataclass(frozen=True, slots=True)
class ImageComposer:
    """Composes images of `size` × `size` pixels. Each seed is another sequence of images."""

    bank: AssetBank
    size: int
    seed: int
    settings: ImageSettings = field(default_factory=ImageSettings)

    def sample(self, index: int) -> Sample:
        """Compose image number `index` with at least one target.

        The same bank, size, seed, settings and number give the same image.
        """
        for attempt in range(100):
            rng = np.random.default_rng((self.seed, index, attempt))
            sample = self._compose(rng)
            if sample is not None:
                return sample
        raise AssertionError(f"no target in 100 images (seed {self.seed}, index {index})")

    def _compose(self, rng: Generator) -> Sample | None:
        canvas = make_random_canvas(self.bank, rng, self.size)
        image = canvas.image.astype(np.float32)
        if rng.random() < 0.25:
            image = blur(image, rng.uniform(0.5, 3) * self.size / 256)  # background out of focus
        if rng.random() < 0.35:
            self._add_false_seams(image, rng)
        scene = Scene.empty(self.size, canvas.regions)
        for sprite, pose, center in self._plan_objects(rng):
            layer = place_sprite(
                sprite, pose, center, self.size, margin=int(compute_half_extent(sprite, pose).max() * 0.15)
            )
            if layer is not None:
                _add_layer(image, scene, layer, rng)
        chosen = choose_targets(scene, rng)
        if not chosen:
            return None
        masks, kinds = zip(*chosen, strict=True)
        return Sample(apply_camera_effects(image, rng), np.stack(masks), tuple(kinds), exhaustive=canvas.has_no_objects)

    def _plan_objects(self, rng: Generator) -> list[tuple[Sprite, Matrix, Matrix]]:
        """Return sprites with poses and centers, the farthest first."""
        low, high = self.settings.objects
        count = int(np.clip(round(np.exp(rng.uniform(np.log(low), np.log(high + 0.99)))), low, high))
        areas = self._sample_areas(rng, count)
        gathered = rng.random() < 0.35
        plan: list[tuple[Sprite, Matrix, Matrix]] = []
        for area in areas:
            sprite = plan[-1][0] if plan and rng.random() < 0.25 else sample_object(self.bank, rng)
            pose = sample_pose(sprite, rng, area * self.size**2)
            neighbor = plan[int(rng.integers(len(plan)))] if plan and gathered else None
            plan.append((sprite, pose, self._sample_center(rng, sprite, pose, neighbor)))
        return plan

    def _sample_areas(self, rng: Generator, count: int) -> NDArray[np.float64]:
        low, high = self.settings.area
        crowded = max(low * 1.01, min(high, 1.6 / count))
        areas = np.exp(rng.uniform(np.log(low), np.log(crowded), count))
        return np.sort(areas)[::-1] if rng.random() < 0.6 else areas

    def _sample_center(
        self, rng: Generator, sprite: Sprite, pose: Matrix, neighbor: tuple[Sprite, Matrix, Matrix] | None
    ) -> Matrix:
        half = compute_half_extent(sprite, pose)
        if neighbor is not None:
            angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.1)
            gap = half + compute_half_extent(neighbor[0], neighbor[1])
            offset = gap * distance * np.array([np.cos(angle), np.sin(angle)])
            return np.asarray(np.clip(neighbor[2] + offset, 0.05 * self.size, 0.95 * self.size))
        if rng.random() < 0.15:  # cut by the border
            return rng.uniform(0, 1, 2) * self.size
        inset = np.minimum(half, self.size / 2)
        return np.asarray(inset + rng.random(2) * (self.size - 2 * inset))

    def _add_false_seams(self, image: Floats, rng: Generator) -> None:
        """Add seams without objects: outlines of sprites with a slightly changed background."""
        for _ in range(int(rng.integers(1, 4))):
            sprite = sample_object(self.bank, rng)
            pose = sample_pose(sprite, rng, rng.uniform(0.01, 0.15) * self.size**2)
            layer = place_sprite(sprite, pose, rng.uniform(0, self.size, 2), self.size)
            if layer is not None:
                add_false_seam(image[layer.slices], layer.alpha, rng)


def _add_layer(image: Floats, scene: Scene, layer: Layer, rng: Generator) -> None:
    """Blend a layer into the image and add it to the scene."""
    background = image[layer.slices]
    layer = restyle(randomize_edge(layer, rng), background, rng)
    if rng.random() < 0.4:
        cast_shadow(background, layer, rng)
    paste(background, layer, rng)
    scene.add(layer)
