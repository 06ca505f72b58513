"""Sprites and photographs from labeled images, for composition with those of a pack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.synthetic.engine.asset_bank import AssetBank
from masklet.synthetic.engine.real_samples import STUFF, RealImages, read_labeled_image
from masklet.synthetic.engine.sprites import Sprite, make_sprite
from masklet.synthetic.image_filters import fit

MIN_SIDE, MIN_AREA = 48, 56**2
"""Objects with a shorter side of their box, or fewer pixels, are left out."""
MAX_PHOTOGRAPH_SIDE = 640


def add_real_objects(bank: AssetBank, real: RealImages) -> AssetBank:
    """Add labeled images to a bank: the images as photographs, and their larger objects as sprites of kind `real`.

    Objects that touch the border of their image are left out, because pasted elsewhere they would have a straight edge.
    """
    photographs, sprites = [], []
    for entry in real.entries:
        image, labels = read_labeled_image(entry.image, entry.mask)
        photographs.append(fit(image, MAX_PHOTOGRAPH_SIDE))
        objects = [number for number, name in entry.names if name not in STUFF]
        sprites += list(_cut_out_objects(image, labels, objects))
    sprites = [*bank.sprites.get("real", ()), *sprites]
    kinds = {**bank.sprites, "real": tuple(sprites)} if sprites else bank.sprites
    return replace(bank, sprites=kinds, photographs=(*bank.photographs, *photographs))


def _cut_out_objects(image: NDArray[np.uint8], labels: NDArray[np.uint8], numbers: list[int]) -> Iterator[Sprite]:
    height, width = labels.shape
    for number in numbers:
        mask = labels == number
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if mask.sum() < MIN_AREA or min(len(rows), len(columns)) < MIN_SIDE:
            continue
        if rows[0] < 2 or columns[0] < 2 or rows[-1] > height - 3 or columns[-1] > width - 3:
            continue
        crop = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        # Hand-drawn outlines are slightly too large. Eroding a pixel removes most of the old background.
        inside = cv2.erode(mask[crop].astype(np.uint8) * 255, np.ones((3, 3), np.uint8))
        alpha = cv2.GaussianBlur(inside, (0, 0), 0.8)
        yield make_sprite(np.dstack([image[crop], alpha]))
