"""Selection of images for a pack: cutouts, flat drawings, dull images, normal maps, fingerprints."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

OPAQUE = 128
"""Pixels with this alpha or more belong to the object: 0.5 of a soft alpha."""
FLAT_SHARE = 0.42
"""An image is a drawing if more than this share of its 3 × 3 neighborhoods has one color (chosen by eye on stamps)."""


def crop_cutout(image: Pixels) -> Pixels | None:
    """Crop an RGBA image (H, W, 4) to its opaque pixels, None if it does not show a single cut-out object.

    Images without transparency, rectangles, mostly half-transparent images and several small parts give None.
    """
    solid = image[..., 3] >= OPAQUE
    if not solid.any():
        return None
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    crop = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cropped, inside = image[crop], solid[crop]
    half = (cropped[..., 3] > 25) & (cropped[..., 3] < 230)
    count, _, statistics, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8))
    largest = statistics[1:, cv2.CC_STAT_AREA].max() if count > 1 else 0
    if inside.mean() > 0.96 or half.sum() > 0.35 * inside.sum() or largest < 0.7 * inside.sum():
        return None
    return np.ascontiguousarray(cropped)


def is_flat(image: Pixels) -> bool:
    """Return whether the opaque part consists of areas of one color, like clip art and unlike photographs."""
    gray = cv2.cvtColor(image[..., :3], cv2.COLOR_RGB2GRAY)
    spread = cv2.dilate(gray, np.ones((3, 3))) - cv2.erode(gray, np.ones((3, 3)))
    inside = image[..., 3] >= 250 if image.shape[2] == 4 else np.ones(gray.shape, bool)
    inside = cv2.erode(inside.astype(np.uint8), np.ones((3, 3))) > 0
    return bool(inside.any() and (spread[inside] <= 1).mean() > FLAT_SHARE)


def is_dull(image: Pixels) -> bool:
    """Return whether a photograph or texture has nearly one brightness."""
    return bool(cv2.cvtColor(image[..., :3], cv2.COLOR_RGB2GRAY).std() < 8)


def is_normal_map(image: Pixels) -> bool:
    """Return whether the colors are surface normals, whose mean is near (128, 128, 255)."""
    red, green, blue = image[..., :3].reshape(-1, 3).mean(0)
    return bool(abs(red - 128) < 30 and abs(green - 128) < 30 and blue > 190)


def compute_fingerprint(image: Pixels) -> int:
    """Compute a 64-bit difference hash, which is the same for an image at several sizes and qualities."""
    gray = cv2.cvtColor(image[..., :3], cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (9, 8), interpolation=cv2.INTER_AREA)
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    return int(np.packbits(bits).view(">u8")[0])
