"""One random object: a rendering, a cut-out, a drawing, a formula, or any outline filled with something else."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.synthetic.engine.asset_bank import Bank
from masklet.synthetic.engine.backgrounds import random_fill
from masklet.synthetic.engine.placement import wobbled
from masklet.synthetic.engine.shapes import random_shape
from masklet.synthetic.engine.sprites import Sprite

MIX = {
    "render": 0.26,
    "cutout": 0.26,
    "real": 0.16,
    "shaded": 0.11,
    "drawing": 0.06,
    "procedural": 0.09,
    "silhouette": 0.06,
}
"""How often each kind of object is drawn; kinds that the bank does not have give their share to the others."""
BENDS, DECORATED = 0.35, 0.12
"""Shares of the flat objects that are bent, and of all objects that get a patch."""


def random_object(bank: Bank, rng: Generator) -> Sprite:
    """A random object of a random kind."""
    kinds = [kind for kind in MIX if kind in bank.sprites or kind in ("procedural", "silhouette")]
    shares = np.array([MIX[kind] for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
    if kind == "procedural":
        sprite = filled(bank, rng, random_shape(rng, 128))
    elif kind == "silhouette":
        sprite = filled(bank, rng, _any(bank, rng).rgba[..., 3])
    else:
        sprite = bank.sprites[kind][int(rng.integers(len(bank.sprites[kind])))]
    if kind not in ("render", "procedural") and rng.random() < BENDS:
        sprite = wobbled(sprite, rng, rng.uniform(0.02, 0.09))
    return decorated(bank, rng, sprite) if rng.random() < DECORATED else sprite


def filled(bank: Bank, rng: Generator, alpha: NDArray[np.uint8]) -> Sprite:
    """An outline (h, w), transparent at its rim, filled with a piece of a photograph, a texture or a gradient."""
    material = random_fill(bank, rng, max(alpha.shape))[: alpha.shape[0], : alpha.shape[1]]
    return Sprite(np.dstack([material, alpha]))


def decorated(bank: Bank, rng: Generator, sprite: Sprite) -> Sprite:
    """The sprite with a patch of other material on it, which becomes one of its parts."""
    height, width = sprite.rgba.shape[:2]
    side = max(8, int(min(height, width) * rng.uniform(0.25, 0.6)))
    top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
    window = np.s_[top : top + side, left : left + side]
    shape = random_shape(rng, side)
    share = shape[..., None].astype(np.float32) / 255
    rgba = sprite.rgba.copy()
    patched = rgba[window][..., :3] * (1 - share) + random_fill(bank, rng, side) * share
    rgba[window][..., :3] = patched.astype(np.uint8)
    parts = np.zeros((height, width), np.uint8) if sprite.parts is None else sprite.parts.copy()
    parts[window][(shape >= 128) & (rgba[window][..., 3] >= 128)] = parts.max() + 1
    return Sprite(rgba, parts)


def _any(bank: Bank, rng: Generator) -> Sprite:
    entries = bank.sprites[sorted(bank.sprites)[int(rng.integers(len(bank.sprites)))]]
    return entries[int(rng.integers(len(entries)))]
