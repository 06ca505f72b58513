"""Sheet of an image's proposals: the image and a numbered tile for each proposed mask, to select the correct ones."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.masks import rle
from masklet.predict.generated_masks import GeneratedMasks

TILE_SIDE_PX = 320  # longer side of a tile
MIN_TILE_SIDE_PX = 32
TILES_PER_ROW = 4
MIN_COVERAGE = 0.1  # share of a pixel of a tile that a mask covers to be visible there
DARK_TINT = (48, 0, 48)  # RGB, added to the darkened image outside of the mask

Pixels = NDArray[np.uint8]


def draw_sheet(image: Pixels, proposals: GeneratedMasks) -> Pixels:
    """Draw an image (H, W, 3) beside its proposals, numbered from 1, each bright on a dark background."""
    height, width = proposals.size
    scale = TILE_SIDE_PX / max(height, width)
    shape = max(MIN_TILE_SIDE_PX, round(width * scale)), max(MIN_TILE_SIDE_PX, round(height * scale))
    small: Pixels = np.asarray(cv2.resize(image, shape, interpolation=cv2.INTER_AREA), np.uint8)
    masks = enumerate((rle.decode(proposal.rle) for proposal in proposals), start=1)
    tiles = [small, *(_draw_tile(small, mask, number) for number, mask in masks)]
    tiles += [np.zeros_like(small)] * (-len(tiles) % TILES_PER_ROW)
    rows = [np.concatenate(tiles[k : k + TILES_PER_ROW], axis=1) for k in range(0, len(tiles), TILES_PER_ROW)]
    return np.concatenate(rows)


def _draw_tile(image: Pixels, mask: NDArray[np.bool_], number: int) -> Pixels:
    """Draw an image that is dark outside of the mask, with a number in the corner."""
    coverage = cv2.resize(mask * np.uint8(255), image.shape[1::-1], interpolation=cv2.INTER_AREA)
    inside = coverage > 255 * MIN_COVERAGE
    tile = np.where(inside[..., None], image, image // 4 + np.array(DARK_TINT, np.uint8))
    for color, thickness in (((0, 0, 0), 4), ((255, 255, 0), 1)):
        cv2.putText(tile, str(number), (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, color, thickness, cv2.LINE_AA)
    return np.asarray(tile, np.uint8)
