"""Batches by number: the same number gives the same pictures, objects and flips, on any process, for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from masklet.synthetic.engine.samples import Clip, Sample
from masklet.synthetic.engine.views import CLOSE
from masklet.train.clips_from_images import StillClips
from masklet.train.sources import LEAST_AREA, Clips, Mixture, Pictures

KIND_WEIGHTS = {"instance": 1.0, "union": 0.3, "part": 0.35, "region": 0.2}
"""How often targets of each kind are asked for, relative to one another."""
BRIGHTNESS, CONTRAST, SATURATION, GREY = 0.1, 0.2, 0.2, 0.05  # how much pictures are changed, how often greyed

Row = tuple[NDArray[np.uint8], NDArray[np.bool_]]


class Request(NamedTuple):
    """Which batch, of pictures (`frames` 0) or of clips; `rows` are those of this process."""

    step: int
    size: int
    rows: Sequence[int]
    frames: int = 0
    easy: float = 0.0  # the share of pictures that are composed of few and large objects, beside the usual ones


class Batch(NamedTuple):
    """Pictures (B, S, S, 3) uint8 and the masks (B, K, S, S) bool of K objects in each, or clips with a T after the B
    of the one and the K of the other."""

    frames: Tensor
    truth: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(part.to(device, non_blocking=True) for part in self))


@dataclass(frozen=True, slots=True)
class Batches(torch.utils.data.Dataset[Batch]):
    """`self[request]` is a batch of `pictures` or `clips`, with so many objects in each."""

    mixture: Mixture
    pictures: int
    objects: int
    clips: int
    clip_objects: int
    seed: int
    stills: float = 0.0  # the share of clips that are made of a picture

    def __getitem__(self, request: Request) -> Batch:
        cv2.setNumThreads(1)
        if not request.rows:
            return Batch(torch.zeros(0), torch.zeros(0))
        make = self._clip if request.frames else self._picture
        frames, truth = zip(*(make(request, row) for row in request.rows), strict=True)
        return Batch(torch.from_numpy(np.stack(frames)), torch.from_numpy(np.stack(truth)))

    def _picture(self, request: Request, row: int) -> Row:
        index = request.step * self.pictures + row
        rng = np.random.default_rng((self.seed, 1, index))
        easy = bool(rng.random() < request.easy)
        source = self.mixture.draw(rng, easy=easy)
        few = easy or bool(rng.random() < CLOSE)
        sample = _pictures(self.mixture, source, request.size, few).sample(index)
        chosen = drawn_objects(sample, self.objects, rng)
        return _mirrored(recoloured(sample.image[None], rng)[0], sample.masks[chosen], rng)

    def _clip(self, request: Request, row: int) -> Row:
        index = request.step * self.clips + row
        rng = np.random.default_rng((self.seed, 4, index))
        source = self.mixture.draw(rng)
        if rng.random() < self.stills or self.mixture.sources[source].still:
            still = _pictures(self.mixture, source, request.size, easy=False)
            clip = StillClips(still, request.frames, self.seed).sample(index)
        else:
            clip = _clips(self.mixture, source, request.size, request.frames).sample(index)
        chosen = drawn_objects(_first(clip), self.clip_objects, rng)
        return _mirrored(recoloured(clip.frames, rng), clip.masks.swapaxes(0, 1)[chosen], rng)


def row_generators(seed: int, step: int, rows: Sequence[int], objects: int) -> list[Generator]:
    """One generator for each object of each row of a batch, for its prompts."""
    return [np.random.default_rng((seed, 2, step, row, k)) for row in rows for k in range(objects)]


def drawn_objects(sample: Sample, count: int, rng: Generator) -> NDArray[np.int64]:
    """`count` of the targets, none twice before all have been taken: large ones and whole objects rather than small
    ones and parts, and those of less than `LEAST_AREA` pixels only where there is nothing else."""
    areas = sample.masks.sum(axis=(1, 2))
    weights = areas**0.25 * [KIND_WEIGHTS[kind] for kind in sample.kinds]
    large = np.flatnonzero(areas >= LEAST_AREA)
    among = large if len(large) else np.flatnonzero(areas)
    order: list[int] = []
    while len(order) < count:
        shares = weights[among] / weights[among].sum()
        order += rng.choice(among, len(among), replace=False, p=shares).tolist()
    return np.array(order[:count])


def recoloured(images: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    """Pictures (T, H, W, 3) exposed otherwise, all alike: brightness, contrast, saturation; seldom without colour."""
    brightness, contrast, saturation = rng.uniform(-1, 1, 3) * (BRIGHTNESS, CONTRAST, SATURATION)
    share = 0.0 if rng.random() < GREY else 1 + saturation
    pixels = images.astype(np.float32)
    grey = (pixels @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    mean = grey.mean()
    pixels = (grey + (pixels - grey) * share - mean) * (1 + contrast) + mean * (1 + brightness)
    return np.clip(pixels, 0, 255).astype(np.uint8)


@cache
def _pictures(mixture: Mixture, source: int, size: int, easy: bool) -> Pictures:
    return mixture.sources[source].pictures(size, easy=easy)


@cache
def _clips(mixture: Mixture, source: int, size: int, frames: int) -> Clips:
    return mixture.sources[source].clips(size, frames)


def _first(clip: Clip) -> Sample:
    """The objects of a clip's first frame: those that can be prompted there."""
    return Sample(clip.frames[0], clip.masks[0], clip.kinds)


def _mirrored(frames: NDArray[np.uint8], masks: NDArray[np.bool_], rng: Generator) -> Row:
    """Every second time the other way round."""
    step = -1 if rng.random() < 0.5 else 1
    return np.ascontiguousarray(frames[..., ::step, :]), np.ascontiguousarray(masks[..., ::step])
