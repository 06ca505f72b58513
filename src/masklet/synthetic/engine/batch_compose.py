"""Whole batches of pictures or clips composed at once in PyTorch, where PyTorch runs.

The same scenes as `compose` and `clips` give one by one, without what does not batch (bending, true rotation, two-band
blending, JPEG). Every step works on all pictures of the batch; layers are laid one after the other, the farthest first.
The frames of a clip are pictures whose random draws are the same, but for places and turns, which drift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from masklet.synthetic.engine.batch_random import Draws
from masklet.synthetic.engine.batch_targets import SceneMaps, chosen_targets, followed_targets
from masklet.synthetic.engine.compose import PictureSettings
from masklet.synthetic.engine.tensor_bank import GROUND_SIDE, LEVELS, SIDE, TensorBank, level_place

PACES = (0.0, 0.01, 0.03, 0.06)
"""How far objects and cameras go from frame to frame, in sides of the picture; one of these per clip or object."""
TURN, GROWTH = 2.0, 0.8
"""Radians, and logarithm of the size, that go with a pace of 1."""


class ComposedBatch(NamedTuple):
    """Pictures (B, S, S, 3) uint8 and the masks (B, K, S, S) bool of K targets in each, or clips with a T after the B
    of the one and the K of the other.

    `kinds` (B, K): 0 instance, 1 union, 2 part, 3 region, -1 where a picture shows no target (its mask is empty).
    """

    frames: Tensor
    truth: Tensor
    kinds: Tensor


class _Scenes(NamedTuple):
    """What was composed: pictures (B, 3, S, S) 0-255 and who is where in them."""

    image: Tensor
    maps: SceneMaps
    draw: Draws


class _Layer(NamedTuple):
    """One object of every picture: colours (B, 3, S, S) 0-255, alpha (B, 1, S, S) 0-1, parts (B, 1, S, S)."""

    colour: Tensor
    alpha: Tensor
    parts: Tensor


@dataclass(frozen=True, slots=True)
class BatchComposer:
    """`sample(index)` gives batch number `index` of the endless set of `seed`: the same for ever on the same device."""

    bank: TensorBank
    size: int
    batch: int
    seed: int
    targets: int = 4
    settings: PictureSettings = field(default_factory=PictureSettings)

    @property
    def device(self) -> torch.device:
        return self.bank.atlases.device

    @torch.no_grad()
    def sample(self, index: int) -> ComposedBatch:
        """Batch `index` of pictures, on the bank's device."""
        scenes = self._composed(index, frames=1)
        truth, kinds = chosen_targets(scenes.maps, self.targets, scenes.draw.generator)
        return ComposedBatch(_pixels(scenes), truth, kinds)

    @torch.no_grad()
    def clips(self, index: int, frames: int) -> ComposedBatch:
        """Batch `index` of clips, each of so many frames; the targets are visible on the first."""
        scenes = self._composed(index, frames)
        truth, kinds = followed_targets(scenes.maps, frames, self.targets, scenes.draw.generator)
        return ComposedBatch(_pixels(scenes).unflatten(0, (self.batch, frames)), truth, kinds)

    def _composed(self, index: int, frames: int) -> _Scenes:
        # Torch's CPU generator reads only 32 bits of a seed: seed and index are hashed together first.
        state = int(np.random.SeedSequence((self.seed, index)).generate_state(1)[0])
        draw = Draws(torch.Generator(self.device).manual_seed(state), self.batch, frames, self.device)
        camera = draw.drift(draw.one_of(PACES) * self.size, 2)
        image, regions = self._ground(draw, camera)
        objects = torch.zeros(draw.batch, self.size, self.size, dtype=torch.long, device=self.device)
        parts = torch.zeros_like(objects)
        low, high = self.settings.objects
        counts = torch.exp(draw.uniform(math.log(low), math.log(high + 0.99))).long().clamp(low, high)
        areas = self._areas(draw, counts)
        whole = torch.zeros(draw.batch, high + 1, device=self.device)
        previous = draw.index(self.bank.shares)
        for number in range(1, high + 1):
            present = (number <= counts)[:, None, None]
            which = torch.where(draw.chance(0.25), previous, draw.index(self.bank.shares))
            layer = self._layer(draw, which, areas[:, number - 1], image, camera)
            image = torch.where(present[:, None], _pasted(image, layer, draw), image)
            solid = (layer.alpha[:, 0] > 0.5) & present
            objects = torch.where(solid, number, objects)
            parts = torch.where(solid, torch.where(layer.parts[:, 0] > 0, number * 256 + layer.parts[:, 0], 0), parts)
            whole[:, number] = areas[:, number - 1] * self.size**2
            previous = which
        return _Scenes(image, SceneMaps(objects, parts, regions, whole), draw)

    def _areas(self, draw: Draws, counts: Tensor) -> Tensor:
        """Shares of the picture (B, objects): log-uniform, less where it is crowded, the last and nearest not tiny."""
        low, high = self.settings.area
        most = (1.6 / counts).clamp(low * 1.01, high)
        shares = draw.uniform(0, 1, self.settings.objects[1])
        areas = low * (most / low)[:, None] ** shares
        sorted_areas = areas.sort(descending=True).values
        areas = torch.where(draw.chance(0.6)[:, None], sorted_areas, areas)
        last = (counts - 1)[:, None]
        return areas.scatter(1, last, areas.gather(1, last).clamp(min=min(0.02, high)))

    def _ground(self, draw: Draws, camera: Tensor) -> tuple[Tensor, Tensor]:
        """A canvas for every picture (B, 3, S, S) and its regions (B, S, S), seen by a camera moved by so many pixels
        (B, 2)."""
        which = draw.index(self.bank.ground_shares)
        grid = _crop_grid(draw, self.size, camera)
        image = _looked_up(self.bank.grounds[which], grid)
        regions = F.grid_sample(self.bank.regions[which].float(), grid, mode="nearest", align_corners=False)
        image = _mixed(image, _blurred(image, 2.0), draw.chance(0.25))
        return image, regions[:, 0].round().long()

    def _layer(self, draw: Draws, which: Tensor, area: Tensor, ground: Tensor, camera: Tensor) -> _Layer:
        pace = draw.one_of(PACES)
        pose = _drifting(draw, pace) @ _random_pose(draw, area * self.size**2 / self.bank.areas[which].clamp(min=1))
        centre = (draw.uniform(0.08, 0.92, 2) + draw.drift(pace, 2)) * self.size - camera
        rgba, parts = self._placed(which, pose, centre)
        colour, alpha = rgba[:, :3], rgba[:, 3:] / 255
        filled = self.bank.hollow[which] | draw.chance(0.07)
        material = _looked_up(self.bank.grounds[draw.index(self.bank.ground_shares)], _crop_grid(draw, self.size))
        colour = torch.where(filled[:, None, None, None], material, colour)
        alpha = _random_edge(alpha, draw)
        return _Layer(_restyled(colour, alpha, ground, draw), alpha, parts)

    def _placed(self, which: Tensor, pose: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
        """Sprites under their poses (B, 2, 2) around their centres (B, 2) xy: RGBA and parts, 0 outside."""
        steps = torch.arange(self.size, device=self.device) + 0.5
        points = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1)
        offset = points[None] - centre[:, None, None]
        local = torch.einsum("bij,bhwj->bhwi", torch.linalg.inv(pose), offset)  # pixels of the 192 px square, from 0
        scale = torch.linalg.det(pose).abs().sqrt()
        level = torch.floor(-torch.log2(scale.clamp(max=1)) + 0.2).clamp(0, LEVELS - 1).long()
        places = torch.tensor([level_place(number) for number in range(LEVELS)], device=self.device)[level]
        side = places[:, 2, None, None].float()
        inside = (local.abs() < SIDE / 2 - 1).all(-1)
        x = (local[..., 0] / SIDE + 0.5) * side + places[:, 1, None, None]
        y = (local[..., 1] / SIDE + 0.5) * side + places[:, 0, None, None]
        grid = torch.stack([x / (SIDE * 1.5) * 2 - 1, y / SIDE * 2 - 1], -1)
        rgba = F.grid_sample(self.bank.atlases[which].float(), grid, align_corners=False)
        parts = F.grid_sample(self.bank.parts[which].float(), grid, mode="nearest", align_corners=False)
        return rgba * inside[:, None], (parts * inside[:, None]).round().long()


def _pixels(scenes: _Scenes) -> Tensor:
    """Photographs (B, S, S, 3) uint8 of what was composed."""
    frames = _photographed(scenes.image, scenes.draw).permute(0, 2, 3, 1)
    return frames.round().clamp(0, 255).to(torch.uint8).contiguous()


def _crop_grid(draw: Draws, size: int, camera: Tensor | None = None) -> Tensor:
    """Where a random square crop, mirrored or not, takes its pixels from: (B, S, S, 2) in -1..1. A `camera` has moved
    by so many pixels (B, 2) of the picture."""
    scale = draw.uniform(0.35, 1)
    mirror = torch.where(draw.chance(0.5), -1.0, 1.0)
    shift = (1 - scale)[:, None] * draw.uniform(-1, 1, 2)
    if camera is not None:
        shift = shift + camera / size * 2 * torch.stack([scale * mirror, scale], 1)
    zero = torch.zeros_like(scale)
    theta = torch.stack([scale * mirror, zero, shift[:, 0], zero, scale, shift[:, 1]], 1).view(-1, 2, 3)
    return F.affine_grid(theta, [draw.batch, 1, size, size], align_corners=False)


def _looked_up(pictures: Tensor, grid: Tensor) -> Tensor:
    """Pictures (B, C, 384, 384) uint8 at the points of a grid, shrunk first where the grid is coarse."""
    pixels = pictures.float()
    for _ in range(int(math.log2(max(1, 0.7 * GROUND_SIDE / grid.shape[1])))):
        pixels = F.avg_pool2d(pixels, 2)
    return F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def _drifting(draw: Draws, pace: Tensor) -> Tensor:
    """Matrices (B, 2, 2) that turn and grow from frame to frame; at first they do nothing."""
    turn, growth = draw.drift(pace * TURN), torch.exp(draw.drift(pace * GROWTH))
    cosine, sine = growth * torch.cos(turn), growth * torch.sin(turn)
    return torch.stack([cosine, -sine, sine, cosine], 1).view(-1, 2, 2)


def _random_pose(draw: Draws, growth: Tensor) -> Tensor:
    """Matrices (B, 2, 2) that turn, shear, stretch and mirror a little, and multiply areas by `growth`."""
    turn = torch.where(draw.chance(0.7), draw.normal(0.2), draw.uniform(-math.pi, math.pi))
    stretch, shear = torch.exp(draw.normal(0.12)), draw.normal(0.12)
    mirror = torch.where(draw.chance(0.5), -1.0, 1.0)
    cosine, sine, zero = torch.cos(turn), torch.sin(turn), torch.zeros_like(turn)
    rotation = torch.stack([cosine, -sine, sine, cosine], 1).view(-1, 2, 2)
    shape = torch.stack([mirror * stretch, shear, zero, 1 / stretch], 1).view(-1, 2, 2)
    return rotation @ shape * growth.sqrt()[:, None, None]


def _random_edge(alpha: Tensor, draw: Draws) -> Tensor:
    alpha = _mixed(alpha, -F.max_pool2d(-alpha, 3, 1, 1), draw.chance(0.2))
    return _mixed(alpha, _blurred(alpha, 0.9), draw.chance(0.55))


def _restyled(colour: Tensor, alpha: Tensor, ground: Tensor, draw: Draws) -> Tensor:
    """Tint, contrast and saturation of every object, harmony with the ground for half of them, a falling light."""
    saturation = torch.where(draw.chance(0.08), 0.0, draw.uniform(0.4, 1.5))[:, None, None, None]
    contrast = draw.uniform(0.6, 1.35, 1, 1, 1)
    grey = colour.mean(1, keepdim=True)
    tint = 1 + draw.normal(0.08, 3, 1, 1)
    offset = 128 * (1 - contrast) + draw.normal(14, 1, 1, 1) + draw.normal(6, 3, 1, 1)
    styled = (grey + saturation * (colour - grey)) * contrast * tint + offset
    colour = torch.where(draw.chance(0.75)[:, None, None, None], styled, colour)
    weight = alpha.sum((2, 3), keepdim=True).clamp(min=1e-3)
    gap = ((ground - colour) * alpha).sum((2, 3), keepdim=True) / weight
    colour = colour + gap * (draw.uniform(0.1, 0.7) * draw.chance(0.5))[:, None, None, None]
    slope = draw.uniform(-0.45, 0.45, 2) * draw.chance(0.4)[:, None]
    axis = torch.linspace(-1, 1, colour.shape[-1], device=colour.device)
    light = 1 + slope[:, 0, None, None] * axis[None, None] + slope[:, 1, None, None] * axis[None, :, None]
    return (colour * light[:, None]).clamp(0, 255)


def _pasted(image: Tensor, layer: _Layer, draw: Draws) -> Tensor:
    """The picture with a shadow (for 40 %) and then the object on it."""
    shift = draw.normal(0.04, 2)
    shift[:, 1] = -shift[:, 1].abs()
    one, zero = torch.ones_like(shift[:, 0]), torch.zeros_like(shift[:, 0])
    theta = torch.stack([one, zero, shift[:, 0], zero, one, shift[:, 1]], 1).view(-1, 2, 3)
    small = F.avg_pool2d(layer.alpha, 4)
    moved = F.grid_sample(small, F.affine_grid(theta, list(small.shape), align_corners=False), align_corners=False)
    shade = F.interpolate(_blurred(moved, 1.2), size=image.shape[-2:], mode="bilinear", align_corners=False)
    depth = draw.uniform(0.15, 0.65) * draw.chance(0.4)
    image = image * (1 - depth[:, None, None, None] * shade)
    return image + layer.alpha * (layer.colour - image)


def _photographed(image: Tensor, draw: Draws) -> Tensor:
    """Exposure, blur, noise, grey: what a camera does to the whole picture."""
    exposed = image * (1 + draw.normal(0.07, 3, 1, 1)) + draw.normal(8, 1, 1, 1)
    image = _mixed(image, exposed, draw.chance(0.4)).clamp(0, 255)
    gamma = torch.where(draw.chance(0.3), torch.exp(draw.normal(0.3)), 1.0)[:, None, None, None]
    image = (image / 255) ** gamma * 255
    image = _mixed(image, _blurred(image, 0.9 * image.shape[-1] / 256), draw.chance(0.25))
    noise = torch.randn(image.shape, generator=draw.generator, device=image.device)
    noise = _mixed(noise, noise[:, :1].expand_as(noise), draw.chance(0.5))
    image = image + noise * (draw.uniform(0.5, 9) * draw.chance(0.5))[:, None, None, None]
    return _mixed(image, image.mean(1, keepdim=True).expand_as(image), draw.chance(0.06))


def _mixed(first: Tensor, second: Tensor, chosen: Tensor) -> Tensor:
    """`second` for the chosen pictures, `first` for the others."""
    return torch.where(chosen[:, None, None, None], second, first)


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (B, C, H, W), separable, edges repeated."""
    reach = max(1, math.ceil(2.5 * sigma))
    steps = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    channels = image.shape[1]
    padded = F.pad(image, (reach, reach, reach, reach), mode="replicate")
    across = F.conv2d(padded, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(across, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
