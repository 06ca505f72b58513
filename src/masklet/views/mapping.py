"""Mapping of prompts from an image to a region of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from masklet.masks.crop import Crop
from masklet.prompts import MARGIN_PX, TOP_LEFT, Prompt


def map_prompt(prompt: Prompt, region: Crop | None, size: tuple[int, int]) -> Prompt | None:
    """Map a prompt on an image to a prompt on a region of it.

    Args:
        prompt: Prompt in pixels of the image.
        region: The region; None is the whole image.
        size: The image's (H, W).

    Returns:
        The prompt in pixels of the region. Clicks outside are left out, and corners of a box are moved to its edge.
        None if nothing remains.
    """
    if region is None:
        return prompt
    lower, upper = np.float32(-MARGIN_PX), np.array(region.size[::-1], np.float32) + np.float32(MARGIN_PX)
    points = prompt.points - np.array(region[:2], np.float32)
    inside = ((points >= lower) & (points <= upper)).all(axis=1) | (prompt.labels >= TOP_LEFT)
    mask = None if prompt.mask is None else region.cut(_resize_mask(prompt.mask, size))
    if mask is None and not inside.any():
        return None
    return Prompt(np.clip(points[inside], lower, upper), prompt.labels[inside], mask)


def _resize_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Resize a mask to (H, W) by the nearest pixel."""
    if mask.shape == size:
        return mask
    rows, columns = ((np.arange(n) + 0.5) * (m / n) for n, m in zip(size, mask.shape, strict=True))
    return np.asarray(mask[rows.astype(int)[:, None], columns.astype(int)])
