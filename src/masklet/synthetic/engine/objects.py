"""Random objects: renderings, cutouts, drawings, procedural shapes, and outlines with another filling."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.asset_bank import AssetBank
from masklet.synthetic.engine.backgrounds import sample_fill
from masklet.synthetic.engine.placement import bend_randomly
from masklet.synthetic.engine.shapes import draw_random_shape
from masklet.synthetic.engine.sprites import Sprite

KIND_SHARES = {
    "render": 0.26,
    "cutout": 0.26,
    "real": 0.16,
    "shaded": 0.11,
    "drawing": 0.06,
    "procedural": 0.09,
    "silhouette": 0.06,
}
"""Relative frequency of each kind of object. Kinds that the bank lacks are left out."""
BEND_SHARE, PATCH_SHARE = 0.35, 0.12
"""Share of the flat objects that are bent, and share of all objects that get a patch."""


def sample_object(bank: AssetBank, rng: Generator) -> Sprite:
    """Sample an object of a random kind."""
    kinds = [kind for kind in KIND_SHARES if kind in bank.sprites or kind in ("procedural", "silhouette")]
    shares = np.array([KIND_SHARES[kind] for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
    if kind == "procedural":
        sprite = fill_outline(bank, rng, draw_random_shape(rng, 128))
    elif kind == "silhouette":
        sprite = fill_outline(bank, rng, _sample_sprite(bank, rng).rgba[..., 3])
    else:
        sprite = bank.sprites[kind][int(rng.integers(len(bank.sprites[kind])))]
    if kind not in ("render", "procedural") and rng.random() < BEND_SHARE:
        sprite = bend_randomly(sprite, rng, rng.uniform(0.02, 0.09))
    return add_patch(bank, rng, sprite) if rng.random() < PATCH_SHARE else sprite


def fill_outline(bank: AssetBank, rng: Generator, alpha: NDArray[np.uint8]) -> Sprite:
    """Fill an outline (h, w) uint8 alpha with a crop of a photograph, a texture or a gradient."""
    material = sample_fill(bank, rng, max(alpha.shape))[: alpha.shape[0], : alpha.shape[1]]
    return Sprite(np.dstack([material, alpha]))


def add_patch(bank: AssetBank, rng: Generator, sprite: Sprite) -> Sprite:
    """Add a patch of another material to a sprite. The patch becomes a part."""
    height, width = sprite.rgba.shape[:2]
    side = max(8, int(min(height, width) * rng.uniform(0.25, 0.6)))
    top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
    crop = np.s_[top : top + side, left : left + side]
    shape = draw_random_shape(rng, side)
    share = shape[..., None].astype(np.float32) / 255
    rgba = sprite.rgba.copy()
    patched = rgba[crop][..., :3] * (1 - share) + sample_fill(bank, rng, side) * share
    rgba[crop][..., :3] = patched.astype(np.uint8)
    parts = np.zeros((height, width), np.uint8) if sprite.parts is None else sprite.parts.copy()
    parts[crop][(shape >= 128) & (rgba[crop][..., 3] >= 128)] = parts.max() + 1
    return Sprite(rgba, parts)


def _sample_sprite(bank: AssetBank, rng: Generator) -> Sprite:
    entries = bank.sprites[sorted(bank.sprites)[int(rng.integers(len(bank.sprites)))]]
    return entries[int(rng.integers(len(entries)))]
