"""Sprites: cut-out objects with 8-bit pixels and straight alpha."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.synthetic.image_filters import fit, resize_labels

Pixels = NDArray[np.uint8]

MAX_SPRITE_SIDE = 256
MARGIN = 2
"""Transparent pixels around every sprite, for interpolation at its edge."""
SIDE_MULTIPLE = 8
"""Both sides of a sprite are multiples of this."""


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A cut-out object.

    Attributes:
        rgba: RGBA with straight alpha (h, w, 4) uint8. The colors continue under the transparent pixels.
        parts: Part numbers (h, w) uint8 from 1, 0 outside of parts, or None if the parts are unknown.
        area: Number of opaque pixels.
    """

    rgba: Pixels
    parts: Pixels | None = None
    area: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "area", int((self.rgba[..., 3] >= 128).sum()))


def make_sprite(image: Pixels, side: int = MAX_SPRITE_SIDE, parts: Pixels | None = None) -> Sprite:
    """Make a sprite from an RGBA image (h, w, 4): shrink it to `side`, add a margin, and extend its colors.

    The margin is `MARGIN` pixels wide, and wider below and to the right so that the sprite can be halved three times.
    """
    fitted = fit(image, side - 2 * MARGIN)
    height, width = fitted.shape[:2]
    if parts is not None and parts.shape != (height, width):
        parts = resize_labels(parts, (height, width))
    below, beside = (MARGIN + -(extent + 2 * MARGIN) % SIDE_MULTIPLE for extent in (height, width))
    framed = cv2.copyMakeBorder(fitted, MARGIN, below, MARGIN, beside, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    framed_parts = parts if parts is None else np.pad(parts, ((MARGIN, below), (MARGIN, beside)))
    return Sprite(_bleed_colors(np.asarray(framed, np.uint8)), framed_parts)


def _bleed_colors(rgba: Pixels) -> Pixels:
    """Give transparent pixels the color of near opaque ones, so that resampling makes no dark fringe."""
    opaque = (rgba[..., 3] > 0).astype(np.uint8)
    color = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
    near = cv2.blur(cv2.bitwise_and(color, color, mask=opaque).astype(np.float32), (9, 9))
    share = cv2.blur(opaque.astype(np.float32), (9, 9))
    far = np.array(cv2.mean(color, opaque)[:3], np.float32)  # elsewhere the mean color of the opaque pixels
    filling = (near + far * np.float32(1e-3)) / (share + np.float32(1e-3))[..., None]
    bled = np.dstack([filling.astype(np.uint8), rgba[..., 3]])
    return np.asarray(cv2.copyTo(rgba, opaque, bled), np.uint8)
