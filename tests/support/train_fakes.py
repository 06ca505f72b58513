"""Data for tests of training: bright discs on a dark ground, made in no time, the same for the same index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masklet.synthetic.engine.samples import Clip, Sample
from masklet.train.sources import Mixture


@dataclass(frozen=True)
class DiscPictures:
    """Two discs of different colours in every picture."""

    size: int

    def sample(self, index: int) -> Sample:
        return _drawn(self.size, index, shift=0.0)


@dataclass(frozen=True)
class DiscClips:
    """The discs move to the right; the second leaves after the first frame."""

    size: int
    frames: int

    def sample(self, index: int) -> Clip:
        shots = [_drawn(self.size, index, shift=0.1 * frame) for frame in range(self.frames)]
        masks = np.stack([shot.masks for shot in shots])
        masks[1:, 1] = False
        return Clip(np.stack([shot.image for shot in shots]), masks, ("instance", "instance"))


@dataclass(frozen=True, eq=False)
class Discs:
    """A source of both."""

    composed: bool = False
    still: bool = False

    def pictures(self, size: int, *, easy: bool) -> DiscPictures:
        return DiscPictures(size)

    def clips(self, size: int, frames: int) -> DiscClips:
        return DiscClips(size, frames)


def discs() -> Mixture:
    return Mixture((Discs(),), (1.0,))


def _drawn(size: int, index: int, shift: float) -> Sample:
    rng = np.random.default_rng(index)
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    centres = np.array([[0.3, 0.3], [0.7, 0.7]]) + rng.uniform(-0.08, 0.08, (2, 2))
    masks = np.stack([(x - cx - shift) ** 2 + (y - cy) ** 2 < rng.uniform(0.1, 0.2) ** 2 for cx, cy in centres])
    image = np.full((size, size, 3), 40, np.uint8) + rng.integers(0, 20, (size, size, 3), np.uint8)
    image[masks[0]], image[masks[1]] = (220, 80, 60), (60, 200, 90)
    return Sample(image, masks, ("instance", "instance"))
