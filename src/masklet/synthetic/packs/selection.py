"""Is a picture worth a place in the pack, and as what: a cut-out, a drawing, a photograph, a texture?"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

OPAQUE = 128
"""Alpha from here on belongs to the object: the 0.5 of the soft alpha."""
FLAT_SHARE = 0.42
"""From this share of perfectly flat neighbourhoods on, a picture counts as drawn (by eye on stamps)."""


def fit(picture: Pixels, side: int) -> Pixels:
    """`picture` shrunk so that its long side is at most `side`; never enlarged."""
    height, width = fitted_size((picture.shape[0], picture.shape[1]), side)
    if (height, width) == picture.shape[:2]:
        return picture
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def fitted_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The (H, W) of what has `size` once its long side is at most `side`."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def cut_out(picture: Pixels) -> Pixels | None:
    """The RGBA picture cropped to its opaque pixels, or None where it is no single cut-out object.

    Refused: no transparency, rectangles, mostly half-transparent pictures, and scatterings of small parts.
    """
    solid = picture[..., 3] >= OPAQUE
    if not solid.any():
        return None
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cropped, inside = picture[window], solid[window]
    half = (cropped[..., 3] > 25) & (cropped[..., 3] < 230)
    count, _, statistics, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8))
    largest = statistics[1:, cv2.CC_STAT_AREA].max() if count > 1 else 0
    if inside.mean() > 0.96 or half.sum() > 0.35 * inside.sum() or largest < 0.7 * inside.sum():
        return None
    return np.ascontiguousarray(cropped)


def is_flat(picture: Pixels) -> bool:
    """Whether the opaque part is drawn in areas of one colour, as clip art is and photographs never are."""
    grey = cv2.cvtColor(picture[..., :3], cv2.COLOR_RGB2GRAY)
    spread = cv2.dilate(grey, np.ones((3, 3))) - cv2.erode(grey, np.ones((3, 3)))
    inside = picture[..., 3] >= 250 if picture.shape[2] == 4 else np.ones(grey.shape, bool)
    inside = cv2.erode(inside.astype(np.uint8), np.ones((3, 3))) > 0
    return bool(inside.any() and (spread[inside] <= 1).mean() > FLAT_SHARE)


def is_dull(picture: Pixels) -> bool:
    """Whether a would-be photograph or texture is nearly one colour."""
    return bool(cv2.cvtColor(picture[..., :3], cv2.COLOR_RGB2GRAY).std() < 8)


def is_normal_map(picture: Pixels) -> bool:
    """Whether the colours are directions, as in the bump maps that lie among textures: all around (128, 128, 255)."""
    red, green, blue = picture[..., :3].reshape(-1, 3).mean(0)
    return bool(abs(red - 128) < 30 and abs(green - 128) < 30 and blue > 190)


def fingerprint(picture: Pixels) -> int:
    """A 64-bit difference hash: equal for one picture at several sizes and qualities."""
    grey = cv2.cvtColor(picture[..., :3], cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    return int(np.packbits(bits).view(">u8")[0])
