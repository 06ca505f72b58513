"""Training batches by number: the same seed and step give the same images, objects and augmentation on any process."""

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
from masklet.synthetic.engine.views import CLOSE_UP_SHARE
from masklet.train.clips_from_images import MovingCameraSampler
from masklet.train.sources import MIN_TARGET_AREA_PX, ClipSampler, ImageSampler, Mixture

KIND_WEIGHTS = {"instance": 1.0, "union": 0.3, "part": 0.35, "region": 0.2}
"""Relative sampling weights of the kinds of targets."""
BRIGHTNESS, CONTRAST, SATURATION = 0.1, 0.2, 0.2  # largest relative change by color augmentation
GRAYSCALE = 0.05  # fraction of images that color augmentation turns gray

_Row = tuple[NDArray[np.uint8], NDArray[np.bool_]]


class BatchRequest(NamedTuple):
    """The number and the kind of a batch.

    Attributes:
        step: The training step.
        size: Side of the square images in pixels.
        rows: The rows of the batch that this process makes.
        frames: Frames of each clip; 0 for a batch of images.
        easy_fraction: Fraction of images that are composed of few, large objects, besides the usual ones.
    """

    step: int
    size: int
    rows: Sequence[int]
    frames: int = 0
    easy_fraction: float = 0.0


class Batch(NamedTuple):
    """Images (B, S, S, 3) uint8 with masks (B, K, S, S) bool, or clips (B, T, S, S, 3) with masks (B, K, T, S, S)."""

    frames: Tensor
    ground_truth: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        return Batch(*(part.to(device, non_blocking=True) for part in self))


@dataclass(frozen=True, slots=True)
class Batches(torch.utils.data.Dataset[Batch]):
    """A map-style PyTorch dataset: `batches[request]` is a `Batch`."""

    mixture: Mixture
    images_per_batch: int
    objects_per_image: int
    clips_per_batch: int
    objects_per_clip: int
    seed: int
    clips_from_images: float = 0.0  # fraction of clips that a moving camera makes of images

    def __getitem__(self, request: BatchRequest) -> Batch:
        cv2.setNumThreads(1)
        if not request.rows:
            return Batch(torch.zeros(0), torch.zeros(0))
        make = self._make_clip_row if request.frames else self._make_image_row
        frames, masks = zip(*(make(request, row) for row in request.rows), strict=True)
        return Batch(torch.from_numpy(np.stack(frames)), torch.from_numpy(np.stack(masks)))

    def _make_image_row(self, request: BatchRequest, row: int) -> _Row:
        index = request.step * self.images_per_batch + row
        rng = np.random.default_rng((self.seed, 1, index))
        easy = bool(rng.random() < request.easy_fraction)
        source = self.mixture.draw_source(rng, easy=easy)
        few_objects = easy or bool(rng.random() < CLOSE_UP_SHARE)
        sample = _open_image_sampler(self.mixture, source, request.size, few_objects).sample(index)
        chosen = draw_objects(sample, self.objects_per_image, rng)
        return _flip_randomly(_jitter_colors(sample.image[None], rng)[0], sample.masks[chosen], rng)

    def _make_clip_row(self, request: BatchRequest, row: int) -> _Row:
        index = request.step * self.clips_per_batch + row
        rng = np.random.default_rng((self.seed, 4, index))
        source = self.mixture.draw_source(rng)
        if rng.random() < self.clips_from_images or self.mixture.sources[source].has_only_images:
            images = _open_image_sampler(self.mixture, source, request.size, easy=False)
            clip = MovingCameraSampler(images, request.frames, self.seed).sample(index)
        else:
            clip = _open_clip_sampler(self.mixture, source, request.size, request.frames).sample(index)
        chosen = draw_objects(_first_frame(clip), self.objects_per_clip, rng)
        return _flip_randomly(_jitter_colors(clip.frames, rng), clip.masks.swapaxes(0, 1)[chosen], rng)


def create_object_generators(seed: int, step: int, rows: Sequence[int], objects: int) -> list[Generator]:
    """Create one generator for each object of each row of a batch, for its prompts."""
    return [np.random.default_rng((seed, 2, step, row, k)) for row in rows for k in range(objects)]


def draw_objects(sample: Sample, count: int, rng: Generator) -> NDArray[np.int64]:
    """Draw `count` targets of a sample, by size and kind.

    Large targets and whole objects are drawn more often. A target repeats only after all were drawn. Targets of less
    than `MIN_TARGET_AREA_PX` pixels are drawn only where there are no larger ones.

    Returns:
        Indices (count,) of the targets.
    """
    areas = sample.masks.sum(axis=(1, 2))
    weights = areas**0.25 * [KIND_WEIGHTS[kind] for kind in sample.kinds]
    large = np.flatnonzero(areas >= MIN_TARGET_AREA_PX)
    among = large if len(large) else np.flatnonzero(areas)
    order: list[int] = []
    while len(order) < count:
        shares = weights[among] / weights[among].sum()
        order += rng.choice(among, len(among), replace=False, p=shares).tolist()
    return np.array(order[:count])


def _jitter_colors(images: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    """Change brightness, contrast and saturation of images (T, H, W, 3), all by the same random amount."""
    brightness, contrast, saturation = rng.uniform(-1, 1, 3) * (BRIGHTNESS, CONTRAST, SATURATION)
    factor = 0.0 if rng.random() < GRAYSCALE else 1 + saturation
    pixels = images.astype(np.float32)
    gray = (pixels @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    mean = gray.mean()
    pixels = (gray + (pixels - gray) * factor - mean) * (1 + contrast) + mean * (1 + brightness)
    return np.clip(pixels, 0, 255).astype(np.uint8)


@cache
def _open_image_sampler(mixture: Mixture, source: int, size: int, easy: bool) -> ImageSampler:
    return mixture.sources[source].make_image_sampler(size, easy=easy)


@cache
def _open_clip_sampler(mixture: Mixture, source: int, size: int, frames: int) -> ClipSampler:
    return mixture.sources[source].make_clip_sampler(size, frames)


def _first_frame(clip: Clip) -> Sample:
    """Return the first frame of a clip, whose objects can be prompted."""
    return Sample(clip.frames[0], clip.masks[0], clip.kinds)


def _flip_randomly(frames: NDArray[np.uint8], masks: NDArray[np.bool_], rng: Generator) -> _Row:
    """Flip frames and masks horizontally with a probability of one half."""
    step = -1 if rng.random() < 0.5 else 1
    return np.ascontiguousarray(frames[..., ::step, :]), np.ascontiguousarray(masks[..., ::step])
