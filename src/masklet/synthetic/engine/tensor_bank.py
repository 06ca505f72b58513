"""A bank as tensors on a device, ready to be sampled for whole batches at once.

Sprites are atlases: beside each lie its halvings, so that one lookup finds the level whose pixels are about as large as
the picture's.

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

from masklet.synthetic.engine.asset_bank import Bank
from masklet.synthetic.engine.backgrounds import random_canvas, random_fill
from masklet.synthetic.engine.objects import MIX
from masklet.synthetic.engine.shapes import random_shape
from masklet.synthetic.engine.sprites import Sprite
from masklet.synthetic.image_filters import halved, quickly_resized, relabelled

SIDE, LEVELS = 192, 4
"""Sprites are squares of this many pixels, halved three times."""
GROUND_SIDE = 384
SHAPES, CANVASES = 512, 384
"""How many shapes by formula and how many canvases with regions are drawn in advance."""


class TensorBank(NamedTuple):
    """What a batch is composed from, all on one device.

    `atlases` (N, 4, 192, 288) uint8 straight alpha; `parts` (N, 1, 192, 288) uint8; `areas` (N,) opaque pixels at 192;
    `hollow` (N,) bool: outlines without a colour of their own; `shares` (N,) how often each is drawn;
    `grounds` (G, 3, 384, 384) uint8; `regions` (G, 1, 384, 384) uint8, 0 where nothing is known; `ground_shares` (G,).
    """

    atlases: Tensor
    parts: Tensor
    areas: Tensor
    hollow: Tensor
    shares: Tensor
    grounds: Tensor
    regions: Tensor
    ground_shares: Tensor

    def to(self, device: torch.device) -> TensorBank:
        return TensorBank(*(tensor.to(device) for tensor in self))


def tensor_bank(bank: Bank, seed: int = 0, shapes: int = SHAPES, canvases: int = CANVASES) -> TensorBank:
    """The bank on the CPU: its sprites, `shapes` outlines, its pictures, and `canvases` with regions."""
    rng = np.random.default_rng((seed, 0x7E))
    sprites, shares, hollow = _sprites(bank, rng, shapes)
    laid = [_atlas(sprite) for sprite in sprites]
    grounds, regions, ground_shares = zip(*_grounds(bank, rng, canvases), strict=True)
    return TensorBank(
        _stacked([rgba for rgba, _ in laid]),
        _stacked([parts[..., None] for _, parts in laid]),
        torch.tensor([float((rgba[:SIDE, :SIDE, 3] >= 128).sum()) for rgba, _ in laid]),
        torch.tensor(hollow),
        torch.tensor(shares, dtype=torch.float32),
        _stacked(list(grounds)),
        _stacked([labels[..., None] for labels in regions]),
        torch.tensor(ground_shares, dtype=torch.float32),
    )


def _sprites(bank: Bank, rng: Generator, shapes: int) -> tuple[list[Sprite], list[float], list[bool]]:
    """All sprites, how often each is drawn (in the mixture of the kinds), and whether it needs a filling."""
    sprites: list[Sprite] = []
    shares: list[float] = []
    for kind, entries in bank.sprites.items():
        sprites += entries
        shares += [MIX[kind] / len(entries)] * len(entries)
    for _ in range(shapes):
        alpha = random_shape(rng, 128)
        sprites.append(Sprite(np.dstack([np.full((128, 128, 3), 128, np.uint8), alpha])))
        shares.append(MIX["procedural"] / shapes)
    return sprites, shares, [number >= len(sprites) - shapes for number in range(len(sprites))]


def _atlas(sprite: Sprite) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The sprite in the middle of its square with its halvings beside it: RGBA and parts (192, 288)."""
    height, width = sprite.rgba.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    rgba = sprite.rgba if scale == 1 else quickly_resized(sprite.rgba, small)
    known = np.zeros((height, width), np.uint8) if sprite.parts is None else sprite.parts
    numbers = known if scale == 1 else relabelled(known, small)
    below, beside = SIDE - small[0], SIDE - small[1]
    pads = ((below // 2, below - below // 2), (beside // 2, beside - beside // 2))
    level, labels = np.pad(rgba, (*pads, (0, 0)), mode="edge"), np.pad(numbers, pads)
    level[..., 3] = np.pad(rgba[..., 3], pads)
    atlas, parts = np.zeros((SIDE, SIDE * 3 // 2, 4), np.uint8), np.zeros((SIDE, SIDE * 3 // 2), np.uint8)
    for number in range(LEVELS):
        top, left, side = level_place(number)
        atlas[top : top + side, left : left + side] = level
        parts[top : top + side, left : left + side] = labels
        level, labels = halved(np.ascontiguousarray(level)), np.ascontiguousarray(labels[::2, ::2])
    return atlas, parts


def level_place(level: int) -> tuple[int, int, int]:
    """Top, left and side of a level within its atlas, in pixels."""
    side = SIDE >> level
    return (0, 0, side) if level == 0 else (SIDE - 2 * side, SIDE, side)


def _grounds(bank: Bank, rng: Generator, canvases: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], float]]:
    """Squares of all photographs (half of the draws) and textures (15 %), and canvases with regions (35 %)."""
    nothing = np.zeros((GROUND_SIDE, GROUND_SIDE), np.uint8)
    for pictures, share in ((bank.photographs, 0.5), (bank.textures, 0.15)):
        for picture in pictures:
            yield quickly_resized(_square(picture), (GROUND_SIDE, GROUND_SIDE)), nothing, share / len(pictures)
    drawn = 0
    while drawn < canvases:
        canvas = random_canvas(bank, rng, GROUND_SIDE)
        if canvas.regions is not None and canvas.regions.max() < 255:
            yield canvas.image, canvas.regions.astype(np.uint8), 0.28 / canvases
        elif canvas.bare:
            yield random_fill(bank, rng, GROUND_SIDE), nothing, 0.07 / canvases
        else:
            continue
        drawn += 1


def _square(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The middle square of a picture."""
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return np.ascontiguousarray(picture[top : top + side, left : left + side, :3])


def _stacked(pictures: list[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
