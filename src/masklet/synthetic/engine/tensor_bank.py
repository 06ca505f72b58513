"""Tensor bank: the assets of a bank as tensors, for the composition of batches.

The atlas of a sprite has the sprite and its halvings (mipmaps), so that one lookup finds the level with the resolution
of the image.

    192 px | 96
           | 48
           | 24
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from masklet.synthetic.engine.asset_bank import AssetBank
from masklet.synthetic.engine.backgrounds import make_random_canvas, sample_fill
from masklet.synthetic.engine.objects import KIND_SHARES
from masklet.synthetic.engine.shapes import draw_random_shape
from masklet.synthetic.engine.sprites import Sprite
from masklet.synthetic.image_filters import halve, resize_fast, resize_labels

SPRITE_SIDE, LEVELS = 192, 4
"""Side of a sprite's square in pixels, and number of levels of its atlas."""
BACKGROUND_SIDE = 384
SHAPES, CANVASES = 512, 384
"""Numbers of procedural shapes and of canvases with regions that are drawn in advance."""


class TensorBank(NamedTuple):
    """Assets of a bank as tensors on one device.

    Attributes:
        atlases: Atlases of the sprites, RGBA with straight alpha (N, 4, 192, 288) uint8.
        parts: Part numbers in the atlases (N, 1, 192, 288) uint8.
        areas: Opaque pixels of each sprite at level 0 (N,) float32.
        is_outline: Whether a sprite has no color of its own (N,) bool.
        shares: Relative frequency of each sprite (N,) float32.
        backgrounds: RGB images (G, 3, 384, 384) uint8.
        regions: Labels of the regions of the backgrounds (G, 1, 384, 384) uint8, 0 where unknown.
        background_shares: Relative frequency of each background (G,) float32.
    """

    atlases: Tensor
    parts: Tensor
    areas: Tensor
    is_outline: Tensor
    shares: Tensor
    backgrounds: Tensor
    regions: Tensor
    background_shares: Tensor

    def to(self, device: torch.device) -> TensorBank:
        """Copy the bank to a device."""
        return TensorBank(*(tensor.to(device) for tensor in self))


def build_tensor_bank(bank: AssetBank, seed: int = 0, shapes: int = SHAPES, canvases: int = CANVASES) -> TensorBank:
    """Build a tensor bank on the CPU.

    Args:
        bank: The bank with sprites, photographs and textures.
        seed: Random seed of shapes and canvases.
        shapes: Number of procedural outlines to add to the sprites.
        canvases: Number of canvases with regions to add to the backgrounds.
    """
    rng = np.random.default_rng((seed, 0x7E))
    sprites, shares, is_outline = _collect_sprites(bank, rng, shapes)
    atlases = [_build_atlas(sprite) for sprite in sprites]
    backgrounds, regions, background_shares = zip(*_collect_backgrounds(bank, rng, canvases), strict=True)
    return TensorBank(
        _stack([rgba for rgba, _ in atlases]),
        _stack([parts[..., None] for _, parts in atlases]),
        torch.tensor([float((rgba[:SPRITE_SIDE, :SPRITE_SIDE, 3] >= 128).sum()) for rgba, _ in atlases]),
        torch.tensor(is_outline),
        torch.tensor(shares, dtype=torch.float32),
        _stack(list(backgrounds)),
        _stack([labels[..., None] for labels in regions]),
        torch.tensor(background_shares, dtype=torch.float32),
    )


def _collect_sprites(bank: AssetBank, rng: Generator, shapes: int) -> tuple[list[Sprite], list[float], list[bool]]:
    """Return the sprites, the relative frequency of each, and whether it is an outline without color."""
    sprites: list[Sprite] = []
    shares: list[float] = []
    for kind, entries in bank.sprites.items():
        sprites += entries
        shares += [KIND_SHARES[kind] / len(entries)] * len(entries)
    for _ in range(shapes):
        alpha = draw_random_shape(rng, 128)
        sprites.append(Sprite(np.dstack([np.full((128, 128, 3), 128, np.uint8), alpha])))
        shares.append(KIND_SHARES["procedural"] / shapes)
    return sprites, shares, [number >= len(sprites) - shapes for number in range(len(sprites))]


def _build_atlas(sprite: Sprite) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Build the atlas of a sprite, centered in its square: RGBA (192, 288, 4) and parts (192, 288)."""
    height, width = sprite.rgba.shape[:2]
    scale = min(1.0, SPRITE_SIDE / max(height, width))
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    rgba = sprite.rgba if scale == 1 else resize_fast(sprite.rgba, small)
    part_numbers = np.zeros((height, width), np.uint8) if sprite.parts is None else sprite.parts
    numbers = part_numbers if scale == 1 else resize_labels(part_numbers, small)
    below, beside = SPRITE_SIDE - small[0], SPRITE_SIDE - small[1]
    pads = ((below // 2, below - below // 2), (beside // 2, beside - beside // 2))
    level, labels = np.pad(rgba, (*pads, (0, 0)), mode="edge"), np.pad(numbers, pads)
    level[..., 3] = np.pad(rgba[..., 3], pads)
    atlas, parts = (
        np.zeros((SPRITE_SIDE, SPRITE_SIDE * 3 // 2, 4), np.uint8),
        np.zeros((SPRITE_SIDE, SPRITE_SIDE * 3 // 2), np.uint8),
    )
    for number in range(LEVELS):
        top, left, side = locate_level(number)
        atlas[top : top + side, left : left + side] = level
        parts[top : top + side, left : left + side] = labels
        level, labels = halve(np.ascontiguousarray(level)), np.ascontiguousarray(labels[::2, ::2])
    return atlas, parts


def locate_level(level: int) -> tuple[int, int, int]:
    """Return top, left and side of a level in an atlas, in pixels."""
    side = SPRITE_SIDE >> level
    return (0, 0, side) if level == 0 else (SPRITE_SIDE - 2 * side, SPRITE_SIDE, side)


def _collect_backgrounds(
    bank: AssetBank, rng: Generator, canvases: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], float]]:
    """Yield backgrounds, regions and shares: photographs (50 %), textures (15 %), canvases with regions (35 %)."""
    no_regions = np.zeros((BACKGROUND_SIDE, BACKGROUND_SIDE), np.uint8)
    for images, share in ((bank.photographs, 0.5), (bank.textures, 0.15)):
        for image in images:
            yield resize_fast(_crop_square(image), (BACKGROUND_SIDE, BACKGROUND_SIDE)), no_regions, share / len(images)
    drawn = 0
    while drawn < canvases:
        canvas = make_random_canvas(bank, rng, BACKGROUND_SIDE)
        if canvas.regions is not None and canvas.regions.max() < 255:
            yield canvas.image, canvas.regions.astype(np.uint8), 0.28 / canvases
        elif canvas.has_no_objects:
            yield sample_fill(bank, rng, BACKGROUND_SIDE), no_regions, 0.07 / canvases
        else:
            continue
        drawn += 1


def _crop_square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Crop the square in the middle of an image."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return np.ascontiguousarray(image[top : top + side, left : left + side, :3])


def _stack(images: list[NDArray[np.uint8]]) -> Tensor:
    """Stack images (H, W, C) to a tensor (N, C, H, W)."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
