"""Batch composer: batches of images or clips, composed in PyTorch on its device.

The scenes are those of `compose` and `clips`, without effects that do not batch: bending, rotation of meshes, two-band
blending, JPEG compression. Each step processes all images of the batch. Objects are pasted one after the other, the
farthest first. The frames of a clip are images with the same random numbers, except for places and rotations, which
drift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from masklet.synthetic.engine.batch_random import BatchRandom
from masklet.synthetic.engine.batch_targets import SceneMaps, choose_clip_targets, choose_image_targets
from masklet.synthetic.engine.compose import ImageSettings
from masklet.synthetic.engine.tensor_bank import BACKGROUND_SIDE, LEVELS, SPRITE_SIDE, TensorBank, locate_level

SPEEDS = (0.0, 0.01, 0.03, 0.06)
"""Movement of objects and cameras per frame, in sides of the image; each clip or object has one of these speeds."""
TURN_PER_SPEED, GROWTH_PER_SPEED = 2.0, 0.8
"""Rotation in radians, and change of the logarithm of the size, per frame at speed 1."""


class ComposedBatch(NamedTuple):
    """A batch of B images with K targets each, or of B clips of T frames.

    Attributes:
        frames: RGB images (B, S, S, 3) uint8, or clips (B, T, S, S, 3).
        ground_truth: Masks of the targets (B, K, S, S) bool, or (B, K, T, S, S).
        kinds: Kinds of the targets (B, K): 0 instance, 1 union, 2 part, 3 region, -1 no target (its mask is empty).
    """

    frames: Tensor
    ground_truth: Tensor
    kinds: Tensor


class _Scenes(NamedTuple):
    """Composed scenes: images (B, 3, S, S) float32 from 0 to 255, their label maps, and the random numbers."""

    image: Tensor
    maps: SceneMaps
    random: BatchRandom


class _Layer(NamedTuple):
    """An object of every image: colors (B, 3, S, S) 0 to 255, alpha (B, 1, S, S) 0 to 1, parts (B, 1, S, S)."""

    color: Tensor
    alpha: Tensor
    parts: Tensor


@dataclass(frozen=True, slots=True)
class BatchComposer:
    """Composes batches. The same seed and number give the same batch on the same device.

    Attributes:
        bank: Assets as tensors, on the device to compose on.
        size: Height and width in pixels.
        batch: Number of images or clips in a batch.
        seed: Random seed.
        targets: Number of targets of each image or clip.
        settings: Content of the images.
    """

    bank: TensorBank
    size: int
    batch: int
    seed: int
    targets: int = 4
    settings: ImageSettings = field(default_factory=ImageSettings)

    @property
    def device(self) -> torch.device:
        """The device of the bank."""
        return self.bank.atlases.device

    @torch.no_grad()
    def sample(self, index: int) -> ComposedBatch:
        """Compose batch number `index` of images."""
        scenes = self._compose(index, frames=1)
        masks, kinds = choose_image_targets(scenes.maps, self.targets, scenes.random.generator)
        return ComposedBatch(_record_pixels(scenes), masks, kinds)

    @torch.no_grad()
    def sample_clips(self, index: int, frames: int) -> ComposedBatch:
        """Compose batch number `index` of clips of `frames` frames. The targets are visible on the first frame."""
        scenes = self._compose(index, frames)
        masks, kinds = choose_clip_targets(scenes.maps, frames, self.targets, scenes.random.generator)
        return ComposedBatch(_record_pixels(scenes).unflatten(0, (self.batch, frames)), masks, kinds)

    def _compose(self, index: int, frames: int) -> _Scenes:
        # Torch's CPU generator uses 32 bits of a seed only, so seed and index are hashed to 32 bits.
        state = int(np.random.SeedSequence((self.seed, index)).generate_state(1)[0])
        random = BatchRandom(torch.Generator(self.device).manual_seed(state), self.batch, frames, self.device)
        camera = random.drift(random.choice(SPEEDS) * self.size, 2)
        image, regions = self._make_backgrounds(random, camera)
        objects = torch.zeros(random.batch, self.size, self.size, dtype=torch.long, device=self.device)
        parts = torch.zeros_like(objects)
        low, high = self.settings.objects
        counts = torch.exp(random.uniform(math.log(low), math.log(high + 0.99))).long().clamp(low, high)
        areas = self._sample_areas(random, counts)
        full_areas = torch.zeros(random.batch, high + 1, device=self.device)
        previous = random.choice_index(self.bank.shares)
        for number in range(1, high + 1):
            present = (number <= counts)[:, None, None]
            indices = torch.where(random.bernoulli(0.25), previous, random.choice_index(self.bank.shares))
            layer = self._make_layer(random, indices, areas[:, number - 1], image, camera)
            image = torch.where(present[:, None], _paste(image, layer, random), image)
            solid = (layer.alpha[:, 0] > 0.5) & present
            objects = torch.where(solid, number, objects)
            parts = torch.where(solid, torch.where(layer.parts[:, 0] > 0, number * 256 + layer.parts[:, 0], 0), parts)
            full_areas[:, number] = areas[:, number - 1] * self.size**2
            previous = indices
        return _Scenes(image, SceneMaps(objects, parts, regions, full_areas), random)

    def _sample_areas(self, random: BatchRandom, counts: Tensor) -> Tensor:
        """Sample areas (B, objects) in shares of the image: log-uniform, smaller for many objects.

        The last object, which is the nearest, has at least 2 % of the image.
        """
        low, high = self.settings.area
        max_area = (1.6 / counts).clamp(low * 1.01, high)
        shares = random.uniform(0, 1, self.settings.objects[1])
        areas = low * (max_area / low)[:, None] ** shares
        sorted_areas = areas.sort(descending=True).values
        areas = torch.where(random.bernoulli(0.6)[:, None], sorted_areas, areas)
        last = (counts - 1)[:, None]
        return areas.scatter(1, last, areas.gather(1, last).clamp(min=min(0.02, high)))

    def _make_backgrounds(self, random: BatchRandom, camera: Tensor) -> tuple[Tensor, Tensor]:
        """Make backgrounds (B, 3, S, S) and their regions (B, S, S) for cameras shifted by `camera` (B, 2) pixels."""
        indices = random.choice_index(self.bank.background_shares)
        grid = _sample_crop_grid(random, self.size, camera)
        image = _sample_grid(self.bank.backgrounds[indices], grid)
        regions = F.grid_sample(self.bank.regions[indices].float(), grid, mode="nearest", align_corners=False)
        image = _select(image, _blur(image, 2.0), random.bernoulli(0.25))
        return image, regions[:, 0].round().long()

    def _make_layer(
        self, random: BatchRandom, indices: Tensor, area: Tensor, background: Tensor, camera: Tensor
    ) -> _Layer:
        speed = random.choice(SPEEDS)
        pose = _sample_drift(random, speed) @ _sample_poses(
            random, area * self.size**2 / self.bank.areas[indices].clamp(min=1)
        )
        center = (random.uniform(0.08, 0.92, 2) + random.drift(speed, 2)) * self.size - camera
        rgba, parts = self._place_sprites(indices, pose, center)
        color, alpha = rgba[:, :3], rgba[:, 3:] / 255
        filled = self.bank.is_outline[indices] | random.bernoulli(0.07)
        material = _sample_grid(
            self.bank.backgrounds[random.choice_index(self.bank.background_shares)],
            _sample_crop_grid(random, self.size),
        )
        color = torch.where(filled[:, None, None, None], material, color)
        alpha = _randomize_edges(alpha, random)
        return _Layer(_restyle(color, alpha, background, random), alpha, parts)

    def _place_sprites(self, indices: Tensor, pose: Tensor, center: Tensor) -> tuple[Tensor, Tensor]:
        """Resample sprites with their poses (B, 2, 2) and centers (B, 2): RGBA (B, 4, S, S) and parts (B, 1, S, S)."""
        steps = torch.arange(self.size, device=self.device) + 0.5
        points = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1)
        offset = points[None] - center[:, None, None]
        local = torch.einsum("bij,bhwj->bhwi", torch.linalg.inv(pose), offset)  # pixels from the center of the sprite
        scale = torch.linalg.det(pose).abs().sqrt()
        level = torch.floor(-torch.log2(scale.clamp(max=1)) + 0.2).clamp(0, LEVELS - 1).long()
        places = torch.tensor([locate_level(number) for number in range(LEVELS)], device=self.device)[level]
        side = places[:, 2, None, None].float()
        inside = (local.abs() < SPRITE_SIDE / 2 - 1).all(-1)
        x = (local[..., 0] / SPRITE_SIDE + 0.5) * side + places[:, 1, None, None]
        y = (local[..., 1] / SPRITE_SIDE + 0.5) * side + places[:, 0, None, None]
        grid = torch.stack([x / (SPRITE_SIDE * 1.5) * 2 - 1, y / SPRITE_SIDE * 2 - 1], -1)
        rgba = F.grid_sample(self.bank.atlases[indices].float(), grid, align_corners=False)
        parts = F.grid_sample(self.bank.parts[indices].float(), grid, mode="nearest", align_corners=False)
        return rgba * inside[:, None], (parts * inside[:, None]).round().long()


def _record_pixels(scenes: _Scenes) -> Tensor:
    """Apply camera effects and return pixels (B, S, S, 3) uint8."""
    frames = _apply_camera_effects(scenes.image, scenes.random).permute(0, 2, 3, 1)
    return frames.round().clamp(0, 255).to(torch.uint8).contiguous()


def _sample_crop_grid(random: BatchRandom, size: int, camera: Tensor | None = None) -> Tensor:
    """Sample the grids (B, S, S, 2) of random square crops, mirrored half of the time, for `grid_sample`.

    `camera` shifts the crops (B, 2), in pixels of the image.
    """
    scale = random.uniform(0.35, 1)
    mirror = torch.where(random.bernoulli(0.5), -1.0, 1.0)
    shift = (1 - scale)[:, None] * random.uniform(-1, 1, 2)
    if camera is not None:
        shift = shift + camera / size * 2 * torch.stack([scale * mirror, scale], 1)
    zero = torch.zeros_like(scale)
    theta = torch.stack([scale * mirror, zero, shift[:, 0], zero, scale, shift[:, 1]], 1).view(-1, 2, 3)
    return F.affine_grid(theta, [random.batch, 1, size, size], align_corners=False)


def _sample_grid(images: Tensor, grid: Tensor) -> Tensor:
    """Sample images (B, C, 384, 384) uint8 at the points of a grid (B, S, S, 2), halved first for small S."""
    pixels = images.float()
    for _ in range(int(math.log2(max(1, 0.7 * BACKGROUND_SIDE / grid.shape[1])))):
        pixels = F.avg_pool2d(pixels, 2)
    return F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def _sample_drift(random: BatchRandom, speed: Tensor) -> Tensor:
    """Sample matrices (B, 2, 2) whose rotation and scale drift over the frames, from the identity."""
    turn, growth = random.drift(speed * TURN_PER_SPEED), torch.exp(random.drift(speed * GROWTH_PER_SPEED))
    cosine, sine = growth * torch.cos(turn), growth * torch.sin(turn)
    return torch.stack([cosine, -sine, sine, cosine], 1).view(-1, 2, 2)


def _sample_poses(random: BatchRandom, growth: Tensor) -> Tensor:
    """Sample matrices (B, 2, 2) that rotate, shear, stretch and mirror, and multiply areas by `growth` (B,)."""
    turn = torch.where(random.bernoulli(0.7), random.normal(0.2), random.uniform(-math.pi, math.pi))
    stretch, shear = torch.exp(random.normal(0.12)), random.normal(0.12)
    mirror = torch.where(random.bernoulli(0.5), -1.0, 1.0)
    cosine, sine, zero = torch.cos(turn), torch.sin(turn), torch.zeros_like(turn)
    rotation = torch.stack([cosine, -sine, sine, cosine], 1).view(-1, 2, 2)
    shape = torch.stack([mirror * stretch, shear, zero, 1 / stretch], 1).view(-1, 2, 2)
    return rotation @ shape * growth.sqrt()[:, None, None]


def _randomize_edges(alpha: Tensor, random: BatchRandom) -> Tensor:
    """Erode alpha for 20 % of the images and blur it for 55 %."""
    alpha = _select(alpha, -F.max_pool2d(-alpha, 3, 1, 1), random.bernoulli(0.2))
    return _select(alpha, _blur(alpha, 0.9), random.bernoulli(0.55))


def _restyle(color: Tensor, alpha: Tensor, background: Tensor, random: BatchRandom) -> Tensor:
    """Vary saturation, contrast, tint and light of objects; move half of them toward the background's mean color."""
    saturation = torch.where(random.bernoulli(0.08), 0.0, random.uniform(0.4, 1.5))[:, None, None, None]
    contrast = random.uniform(0.6, 1.35, 1, 1, 1)
    gray = color.mean(1, keepdim=True)
    tint = 1 + random.normal(0.08, 3, 1, 1)
    offset = 128 * (1 - contrast) + random.normal(14, 1, 1, 1) + random.normal(6, 3, 1, 1)
    styled = (gray + saturation * (color - gray)) * contrast * tint + offset
    color = torch.where(random.bernoulli(0.75)[:, None, None, None], styled, color)
    weight = alpha.sum((2, 3), keepdim=True).clamp(min=1e-3)
    gap = ((background - color) * alpha).sum((2, 3), keepdim=True) / weight
    color = color + gap * (random.uniform(0.1, 0.7) * random.bernoulli(0.5))[:, None, None, None]
    slope = random.uniform(-0.45, 0.45, 2) * random.bernoulli(0.4)[:, None]
    axis = torch.linspace(-1, 1, color.shape[-1], device=color.device)
    light = 1 + slope[:, 0, None, None] * axis[None, None] + slope[:, 1, None, None] * axis[None, :, None]
    return (color * light[:, None]).clamp(0, 255)


def _paste(image: Tensor, layer: _Layer, random: BatchRandom) -> Tensor:
    """Paste a layer on the images, with a shadow for 40 % of them."""
    shift = random.normal(0.04, 2)
    shift[:, 1] = -shift[:, 1].abs()
    ones, zeros = torch.ones_like(shift[:, 0]), torch.zeros_like(shift[:, 0])
    theta = torch.stack([ones, zeros, shift[:, 0], zeros, ones, shift[:, 1]], 1).view(-1, 2, 3)
    small = F.avg_pool2d(layer.alpha, 4)
    moved = F.grid_sample(small, F.affine_grid(theta, list(small.shape), align_corners=False), align_corners=False)
    shade = F.interpolate(_blur(moved, 1.2), size=image.shape[-2:], mode="bilinear", align_corners=False)
    depth = random.uniform(0.15, 0.65) * random.bernoulli(0.4)
    image = image * (1 - depth[:, None, None, None] * shade)
    return image + layer.alpha * (layer.color - image)


def _apply_camera_effects(image: Tensor, random: BatchRandom) -> Tensor:
    """Apply exposure, gamma, blur, noise and grayscale to random images."""
    exposed = image * (1 + random.normal(0.07, 3, 1, 1)) + random.normal(8, 1, 1, 1)
    image = _select(image, exposed, random.bernoulli(0.4)).clamp(0, 255)
    gamma = torch.where(random.bernoulli(0.3), torch.exp(random.normal(0.3)), 1.0)[:, None, None, None]
    image = (image / 255) ** gamma * 255
    image = _select(image, _blur(image, 0.9 * image.shape[-1] / 256), random.bernoulli(0.25))
    noise = torch.randn(image.shape, generator=random.generator, device=image.device)
    noise = _select(noise, noise[:, :1].expand_as(noise), random.bernoulli(0.5))
    image = image + noise * (random.uniform(0.5, 9) * random.bernoulli(0.5))[:, None, None, None]
    return _select(image, image.mean(1, keepdim=True).expand_as(image), random.bernoulli(0.06))


def _select(first: Tensor, second: Tensor, chosen: Tensor) -> Tensor:
    """Select `second` for the chosen images (B,), `first` for the others."""
    return torch.where(chosen[:, None, None, None], second, first)


def _blur(image: Tensor, sigma: float) -> Tensor:
    """Blur images (B, C, H, W) with a separable Gaussian and repeated edges."""
    radius = max(1, math.ceil(2.5 * sigma))
    steps = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    channels = image.shape[1]
    padded = F.pad(image, (radius, radius, radius, radius), mode="replicate")
    across = F.conv2d(padded, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(across, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
