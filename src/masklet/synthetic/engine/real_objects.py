"""Objects and backgrounds out of real labelled pictures, to be composed anew like those of a pack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.synthetic.engine.asset_bank import Bank
from masklet.synthetic.engine.real_samples import STUFF, RealPictures, read_labelled
from masklet.synthetic.engine.sprites import Sprite, make_sprite
from masklet.synthetic.image_filters import fit

LEAST_SIDE, LEAST_AREA = 48, 56**2
"""Objects with a narrower box or fewer pixels are too coarse to be seen at another size."""
PHOTOGRAPH_SIDE = 640


def enriched(bank: Bank, real: RealPictures) -> Bank:
    """The bank with the pictures of `real` among its photographs, and their larger objects as sprites of kind `real`.

    Objects that the border of their picture cuts are left out: pasted elsewhere they would end in a straight line.
    """
    photographs, sprites = [], []
    for entry in real.entries:
        image, labels = read_labelled(entry.image, entry.mask)
        photographs.append(fit(image, PHOTOGRAPH_SIDE))
        things = [number for number, name in entry.names if name not in STUFF]
        sprites += list(_objects(image, labels, things))
    sprites = [*bank.sprites.get("real", ()), *sprites]
    kinds = {**bank.sprites, "real": tuple(sprites)} if sprites else bank.sprites
    return replace(bank, sprites=kinds, photographs=(*bank.photographs, *photographs))


def _objects(image: NDArray[np.uint8], labels: NDArray[np.uint8], numbers: list[int]) -> Iterator[Sprite]:
    height, width = labels.shape
    for number in numbers:
        mask = labels == number
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if mask.sum() < LEAST_AREA or min(len(rows), len(columns)) < LEAST_SIDE:
            continue
        if rows[0] < 2 or columns[0] < 2 or rows[-1] > height - 3 or columns[-1] > width - 3:
            continue
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        # Hand-drawn outlines lie a little outside: one pixel less shows less of the old background.
        inside = cv2.erode(mask[window].astype(np.uint8) * 255, np.ones((3, 3), np.uint8))
        alpha = cv2.GaussianBlur(inside, (0, 0), 0.8)
        yield make_sprite(np.dstack([image[window], alpha]))
