"""Targets of a composed image: objects, groups of touching objects, parts, and regions of the background."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.placement import Layer
from masklet.synthetic.engine.samples import TargetKind

Mask = NDArray[np.bool_]
Target = tuple[Mask, TargetKind]

MIN_TARGET_SHARE = 0.0006
"""A target covers at least this share of the image, and 16 pixels."""
MIN_VISIBLE_SHARE = 0.08
"""An object is a target if at least this share of it is visible."""


@dataclass(slots=True, eq=False)
class Scene:
    """Label maps of a composed image.

    Attributes:
        objects: Number of the visible object (S, S), from 1 in the order of pasting, 0 for the background.
        parts: Number of the visible part (S, S), counted over all objects, or 0.
        regions: Region of the background (S, S), or None.
        full_areas: Area of each object without occlusion, in pixels.
        part_count: Number of parts so far.
    """

    objects: NDArray[np.int32]
    parts: NDArray[np.int32]
    regions: NDArray[np.int32] | None
    full_areas: list[float] = field(default_factory=list)
    part_count: int = 0

    @staticmethod
    def empty(size: int, regions: NDArray[np.int32] | None) -> Scene:
        """Make a scene without objects."""
        return Scene(np.zeros((size, size), np.int32), np.zeros((size, size), np.int32), regions)

    def add(self, layer: Layer) -> None:
        """Add an object in front of all others. It covers the pixels with alpha above 0.5."""
        solid = layer.alpha > 0.5
        self.full_areas.append(layer.full_area)
        self.objects[layer.slices][solid] = len(self.full_areas)
        parts = self.parts[layer.slices]
        parts[solid] = 0
        if layer.parts is not None:
            inside = solid & (layer.parts > 0)
            parts[inside] = layer.parts[inside].astype(np.int32) + self.part_count
            self.part_count += int(layer.parts.max())


def choose_targets(scene: Scene, rng: Generator) -> list[Target]:
    """Choose every visible instance, and at random a union, up to three parts and up to two regions."""
    min_pixels = max(16, MIN_TARGET_SHARE * scene.objects.size)
    areas = np.bincount(scene.objects.ravel(), minlength=len(scene.full_areas) + 1)
    visible = [n for n, area in enumerate(scene.full_areas, 1) if areas[n] >= max(min_pixels, MIN_VISIBLE_SHARE * area)]
    chosen: list[Target] = [(scene.objects == number, "instance") for number in visible]
    pairs = find_touching_pairs(scene.objects, visible)
    if pairs and rng.random() < 0.4:
        chosen.append((np.isin(scene.objects, _choose_group(pairs, rng)), "union"))
    chosen += [(mask, "part") for mask in _choose_labels(scene.parts, min_pixels, 3, rng)]
    if scene.regions is not None and rng.random() < 0.6:
        free = np.where(scene.objects == 0, scene.regions, 0)
        chosen += [(mask, "region") for mask in _choose_labels(free, max(min_pixels, 0.01 * free.size), 2, rng)]
    return chosen


def find_touching_pairs(labels: NDArray[np.int32], objects: list[int]) -> set[tuple[int, int]]:
    """Return the pairs of `objects` that have neighboring pixels in the label map (H, W)."""
    pairs: set[tuple[int, int]] = set()
    for first, second in ((labels[:, 1:], labels[:, :-1]), (labels[1:], labels[:-1])):
        meets = (first != second) & (first > 0) & (second > 0)
        codes = np.unique(first[meets].astype(np.int64) << 32 | second[meets])
        pairs |= {tuple(sorted((int(code >> 32), int(code & 0xFFFFFFFF)))) for code in codes}  # type: ignore[misc]
    return {pair for pair in pairs if pair[0] in objects and pair[1] in objects}


def _choose_group(pairs: set[tuple[int, int]], rng: Generator) -> list[int]:
    """Choose a random pair, and half of the time the objects that touch it."""
    ordered = sorted(pairs)
    group = set(ordered[int(rng.integers(len(ordered)))])
    if rng.random() < 0.5:
        group |= {number for pair in ordered if group & set(pair) for number in pair}
    return sorted(group)


def _choose_labels(labels: NDArray[np.int32], min_pixels: float, most: int, rng: Generator) -> list[Mask]:
    """Choose up to `most` random labels with at least `min_pixels` pixels and return their masks."""
    areas = np.bincount(labels.ravel())
    large = np.flatnonzero(areas[1:] >= min_pixels) + 1
    picked = rng.choice(large, min(most, len(large)), replace=False) if len(large) else large
    return [labels == number for number in picked]
