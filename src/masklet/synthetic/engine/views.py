"""What is seen of a labelled picture: all of it, a window around an object, or the object close up."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.predict.crop import MIN_CROP_PX, Crop, full_crop

WHOLE, CLOSE = 0.2, 0.55  # the shares of views that show all of the picture, and that fill themselves with an object
AREAS = 0.002, 0.6  # of another view that the object covers, the rest of it anywhere around
REACH = 1.2, 3.0  # of a close view, in longer sides of the object's box: what a zoom shows, and more
ASIDE = 0.15  # of its side that a close view may look past the object
LEAST = 128  # pixels of a side of a view that is not close: less holds too little to see
STRETCHED = 0.15  # spread of the logarithm of a view's proportions


def random_view(mask: NDArray[np.bool_], rng: Generator) -> Crop:
    """A view of the picture that this object (H, W) is in; the object is not empty."""
    kind = rng.random()
    if kind < WHOLE:
        return full_crop(mask.shape)
    rows, columns = np.nonzero(mask)
    if kind < WHOLE + CLOSE:
        reach = np.array([np.ptp(columns) + 1, np.ptp(rows) + 1])
        side, least = reach.max() * np.exp(rng.uniform(*np.log(REACH))), MIN_CROP_PX
        place = np.array([columns.min(), rows.min()]) + (reach - 1) / 2
        part = 0.5 + rng.uniform(-ASIDE, ASIDE, 2)  # of the view that lies before that place
    else:
        side, least = np.sqrt(len(rows) / np.exp(rng.uniform(*np.log(AREAS)))), LEAST
        pixel = int(rng.integers(len(rows)))
        place, part = np.array([columns[pixel], rows[pixel]]), rng.uniform(0, 1, 2)
    stretch = np.exp(rng.normal(0, STRETCHED) * np.array([0.5, -0.5]))
    limits = np.array(mask.shape[::-1])
    sides = np.clip(side * stretch, np.minimum(least, limits), limits).astype(int)
    corner = np.clip(place - part * (sides - 1), 0, limits - sides).astype(int)
    return Crop(*corner.tolist(), *(corner + sides).tolist())
