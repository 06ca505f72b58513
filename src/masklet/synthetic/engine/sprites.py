"""A cut-out object in memory: 8-bit pixels with straight alpha, fit to be resampled anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.synthetic.image_filters import fit, relabelled

Pixels = NDArray[np.uint8]

SPRITE_SIDE = 256
MARGIN = 2
"""Transparent pixels around every sprite, so that interpolation at its rim has something to fall to."""
HALVINGS = 8
"""Both sides of a sprite are multiples of this."""


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A cut-out: straight-alpha `rgba` (h, w, 4), colours continued under the transparency.

    `parts` (h, w) labels parts of the object 1..n (0: nothing), or None where nothing is known of parts.
    `area` is the opaque area in pixels.
    """

    rgba: Pixels
    parts: Pixels | None = None
    area: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "area", int((self.rgba[..., 3] >= 128).sum()))


def make_sprite(picture: Pixels, side: int = SPRITE_SIDE, parts: Pixels | None = None) -> Sprite:
    """An RGBA picture as a sprite: fitted into `side`, framed, its colours bled outwards under the transparency.

    The frame is `MARGIN` wide, and wider below and to the right so that the sprite can be halved three times.
    """
    fitted = fit(picture, side - 2 * MARGIN)
    height, width = fitted.shape[:2]
    if parts is not None and parts.shape != (height, width):
        parts = relabelled(parts, (height, width))
    below, beside = (MARGIN + -(extent + 2 * MARGIN) % HALVINGS for extent in (height, width))
    framed = cv2.copyMakeBorder(fitted, MARGIN, below, MARGIN, beside, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    framed_parts = parts if parts is None else np.pad(parts, ((MARGIN, below), (MARGIN, beside)))
    return Sprite(_bleed(np.asarray(framed, np.uint8)), framed_parts)


def _bleed(rgba: Pixels) -> Pixels:
    """Give transparent pixels the colour of the opaque ones near them: no dark fringe when the sprite is resampled."""
    opaque = (rgba[..., 3] > 0).astype(np.uint8)
    colour = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
    near = cv2.blur(cv2.bitwise_and(colour, colour, mask=opaque).astype(np.float32), (9, 9))
    share = cv2.blur(opaque.astype(np.float32), (9, 9))
    far = np.array(cv2.mean(colour, opaque)[:3], np.float32)  # where nothing is near: the mean of all that is opaque
    filling = (near + far * np.float32(1e-3)) / (share + np.float32(1e-3))[..., None]
    bled = np.dstack([filling.astype(np.uint8), rgba[..., 3]])
    return np.asarray(cv2.copyTo(rgba, opaque, bled), np.uint8)
