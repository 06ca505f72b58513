"""Main parts of a mask, for tools that show each part as a shape of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masklet.masks.connected_components import label_components

MIN_SHARE = 0.05  # of the largest part's area


def select_main_parts(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask (H, W) without its 8-connected parts that have less than `MIN_SHARE` of the largest one's area."""
    labels = label_components(mask)
    areas = np.bincount(labels.ravel())
    if len(areas) <= 2:
        return mask
    areas[0] = 0  # the background
    selected: NDArray[np.bool_] = areas >= MIN_SHARE * areas.max()
    return np.asarray(selected[labels])
