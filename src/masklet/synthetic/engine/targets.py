"""Which masks of a composed scene are worth asking for: objects, touching groups, parts, stretches of background?"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.placement import Layer
from masklet.synthetic.engine.samples import TargetKind

Mask = NDArray[np.bool_]
Target = tuple[Mask, TargetKind]

LEAST_SHARE = 0.0006
"""Targets smaller than this share of the picture (and 16 pixels) are too small to be asked for."""
LEAST_VISIBLE = 0.08
"""An object of which less is left uncovered is no target."""


@dataclass(slots=True, eq=False)
class Scene:
    """Who is visible where: `objects` (S, S) numbered 1..n as pasted, `parts` numbered over all objects."""

    objects: NDArray[np.int32]
    parts: NDArray[np.int32]
    regions: NDArray[np.int32] | None
    whole: list[float] = field(default_factory=list)
    part_count: int = 0

    @staticmethod
    def empty(size: int, regions: NDArray[np.int32] | None) -> Scene:
        return Scene(np.zeros((size, size), np.int32), np.zeros((size, size), np.int32), regions)

    def add(self, layer: Layer) -> None:
        """Enter the layer in front of everything: its pixels of alpha over 0.5 are its own."""
        solid = layer.alpha > 0.5
        self.whole.append(layer.whole)
        self.objects[layer.window][solid] = len(self.whole)
        parts = self.parts[layer.window]
        parts[solid] = 0
        if layer.parts is not None:
            inside = solid & (layer.parts > 0)
            parts[inside] = layer.parts[inside].astype(np.int32) + self.part_count
            self.part_count += int(layer.parts.max())


def targets(scene: Scene, rng: Generator) -> list[Target]:
    """Every visible instance; now and then a union, a few parts, a region."""
    least = max(16, LEAST_SHARE * scene.objects.size)
    areas = np.bincount(scene.objects.ravel(), minlength=len(scene.whole) + 1)
    alive = [n for n, whole in enumerate(scene.whole, 1) if areas[n] >= max(least, LEAST_VISIBLE * whole)]
    chosen: list[Target] = [(scene.objects == number, "instance") for number in alive]
    pairs = touching(scene.objects, alive)
    if pairs and rng.random() < 0.4:
        chosen.append((np.isin(scene.objects, _group(pairs, rng)), "union"))
    chosen += [(mask, "part") for mask in _some(scene.parts, least, 3, rng)]
    if scene.regions is not None and rng.random() < 0.6:
        free = np.where(scene.objects == 0, scene.regions, 0)
        chosen += [(mask, "region") for mask in _some(free, max(least, 0.01 * free.size), 2, rng)]
    return chosen


def touching(labels: NDArray[np.int32], alive: list[int]) -> set[tuple[int, int]]:
    """Pairs of objects among `alive` that have neighbouring pixels."""
    pairs: set[tuple[int, int]] = set()
    for first, second in ((labels[:, 1:], labels[:, :-1]), (labels[1:], labels[:-1])):
        meets = (first != second) & (first > 0) & (second > 0)
        codes = np.unique(first[meets].astype(np.int64) << 32 | second[meets])
        pairs |= {tuple(sorted((int(code >> 32), int(code & 0xFFFFFFFF)))) for code in codes}  # type: ignore[misc]
    return {pair for pair in pairs if pair[0] in alive and pair[1] in alive}


def _group(pairs: set[tuple[int, int]], rng: Generator) -> list[int]:
    """A random touching pair, grown by what touches it half of the time."""
    ordered = sorted(pairs)
    group = set(ordered[int(rng.integers(len(ordered)))])
    if rng.random() < 0.5:
        group |= {number for pair in ordered if group & set(pair) for number in pair}
    return sorted(group)


def _some(labels: NDArray[np.int32], least: float, most: int, rng: Generator) -> list[Mask]:
    """Up to `most` random areas of a label map that are large enough."""
    areas = np.bincount(labels.ravel())
    large = np.flatnonzero(areas[1:] >= least) + 1
    picked = rng.choice(large, min(most, len(large)), replace=False) if len(large) else large
    return [labels == number for number in picked]
