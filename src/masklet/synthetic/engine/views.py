"""Random crops of a labeled image: the full image, a crop that contains an object, or a close-up of it."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.masks.crop import Crop, full_crop
from masklet.views.zoom_view import MIN_CROP_PX

FULL_IMAGE_SHARE, CLOSE_UP_SHARE = 0.2, 0.55  # shares of the crops; the others contain the object at any place
AREA_SHARE_RANGE = 0.002, 0.6  # share of a crop that the object covers, if the crop is no close-up
CLOSE_UP_SCALE_RANGE = 1.2, 3.0  # side of a close-up in longer sides of the object's box; with zoom it is 2
MAX_OFFSET_SHARE = 0.15  # offset of the object from the center of a close-up, in sides of the crop
MIN_SIDE = 128  # pixels of a side of a crop that is no close-up
ASPECT_SPREAD = 0.15  # standard deviation of the logarithm of a crop's aspect ratio


def sample_crop(mask: NDArray[np.bool_], rng: Generator) -> Crop:
    """Sample a crop that contains an object.

    Args:
        mask: Mask of the object (H, W) bool, with at least one pixel.
        rng: Random generator.
    """
    kind = rng.random()
    if kind < FULL_IMAGE_SHARE:
        return full_crop(mask.shape)
    rows, columns = np.nonzero(mask)
    if kind < FULL_IMAGE_SHARE + CLOSE_UP_SHARE:
        box_size = np.array([np.ptp(columns) + 1, np.ptp(rows) + 1])
        side, min_side = box_size.max() * np.exp(rng.uniform(*np.log(CLOSE_UP_SCALE_RANGE))), MIN_CROP_PX
        place = np.array([columns.min(), rows.min()]) + (box_size - 1) / 2
        # Share of the crop to the left of and above the place.
        part = 0.5 + rng.uniform(-MAX_OFFSET_SHARE, MAX_OFFSET_SHARE, 2)
    else:
        side, min_side = np.sqrt(len(rows) / np.exp(rng.uniform(*np.log(AREA_SHARE_RANGE)))), MIN_SIDE
        pixel = int(rng.integers(len(rows)))
        place, part = np.array([columns[pixel], rows[pixel]]), rng.uniform(0, 1, 2)
    stretch = np.exp(rng.normal(0, ASPECT_SPREAD) * np.array([0.5, -0.5]))
    limits = np.array(mask.shape[::-1])
    sides = np.clip(side * stretch, np.minimum(min_side, limits), limits).astype(int)
    corner = np.clip(place - part * (sides - 1), 0, limits - sides).astype(int)
    return Crop(*corner.tolist(), *(corner + sides).tolist())
