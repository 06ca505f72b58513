"""Training data and a network for tests: bright discs on a dark background, and a small configuration."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from masklet.config import CONFIGS
from masklet.synthetic.engine.samples import Clip, Sample
from masklet.train.sources import Mixture

SMALL_NANO = replace(
    CONFIGS["nano"],
    width=16,
    stages=(1, 2, 2, 1),
    global_blocks=(4,),
    decoder_hidden=128,
    attention_layers=1,
    attention_hidden=128,
)
"""The configuration `nano` with a quarter of its weights."""


@dataclass(frozen=True)
class DiscImageSampler:
    """Images of two discs in different colors."""

    size: int

    def sample(self, index: int) -> Sample:
        return _draw_discs(self.size, index, shift=0.0)


@dataclass(frozen=True)
class DiscClipSampler:
    """Clips of discs that move to the right; the second is hidden after the first frame."""

    size: int
    frames: int

    def sample(self, index: int) -> Clip:
        samples = [_draw_discs(self.size, index, shift=0.1 * frame) for frame in range(self.frames)]
        masks = np.stack([sample.masks for sample in samples])
        masks[1:, 1] = False
        return Clip(np.stack([sample.image for sample in samples]), masks, ("instance", "instance"))


@dataclass(frozen=True, eq=False)
class DiscSource:
    """A source of images and clips of discs."""

    is_composed: bool = False
    has_only_images: bool = False

    def make_image_sampler(self, size: int, *, easy: bool) -> DiscImageSampler:
        return DiscImageSampler(size)

    def make_clip_sampler(self, size: int, frames: int) -> DiscClipSampler:
        return DiscClipSampler(size, frames)


def disc_mixture() -> Mixture:
    return Mixture((DiscSource(),), (1.0,))


def _draw_discs(size: int, index: int, shift: float) -> Sample:
    rng = np.random.default_rng(index)
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    centers = np.array([[0.3, 0.3], [0.7, 0.7]]) + rng.uniform(-0.08, 0.08, (2, 2))
    masks = np.stack([(x - cx - shift) ** 2 + (y - cy) ** 2 < rng.uniform(0.1, 0.2) ** 2 for cx, cy in centers])
    image = np.full((size, size, 3), 40, np.uint8) + rng.integers(0, 20, (size, size, 3), np.uint8)
    image[masks[0]], image[masks[1]] = (220, 80, 60), (60, 200, 90)
    return Sample(image, masks, ("instance", "instance"))
