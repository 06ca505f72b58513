"""View of huge images in tiles, so that small objects are predicted at their full resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from masklet.errors import SettingsError
from masklet.masks.crop import Crop
from masklet.prompts import NEGATIVE, Prompt
from masklet.views.found_mask import FoundMask
from masklet.views.mapping import map_prompt
from masklet.views.view import View
from masklet.views.zoom_view import prompt_box

_MIN_TILE_PX = 32


@dataclass(frozen=True, slots=True)
class TiledView(View):
    """View of each object in the tile of a fixed grid that holds its prompt, or in the next larger one.

    Tiles of one size overlap by half a side, so that each object up to half a tile lies well inside one of them. An
    object that is too large gets a tile of twice the side, and so on up to the whole image, which is never encoded
    otherwise. Objects in one tile are predicted in one call.

    Attributes:
        tile: Side of the smallest tiles in pixels of the image, at least 32.

    Raises:
        SettingsError: The tile is too small.

    Example:
        >>> model = masklet.load(view=TiledView(1024))
        >>> masks = model.segment("aerial.tif", click(8120, 5310))
    """

    has_regions: ClassVar[bool] = True
    repeats: ClassVar[bool] = False
    looks: ClassVar[int] = 0

    tile: int = 1024

    def __post_init__(self) -> None:
        if isinstance(self.tile, bool) or not isinstance(self.tile, int) or self.tile < _MIN_TILE_PX:
            message = f"tile must be a whole number of pixels, at least {_MIN_TILE_PX}, got {self.tile!r}"
            raise SettingsError("bad-usage", message)

    def __str__(self) -> str:
        return f"tiles of {self.tile} px"

    def place(self, prompt: Prompt, found: FoundMask | None, size: tuple[int, int]) -> Crop | None:
        """Place the tile around the box or the points of the prompt, and around the mask so far."""
        boxes = [prompt_box(prompt, size), None if found is None else found.find_box(), _find_point_box(prompt)]
        known = [box for box in boxes if box is not None]
        tile = self._find_tile(known, size)
        if tile is None or map_prompt(prompt, tile, size) is not None:
            return tile
        return self._find_tile([*known, _box_of(prompt.points)], size)  # negative clicks far from the object

    def follow(self, found: FoundMask, size: tuple[int, int]) -> Crop | None:
        """Place the tile around the mask on the nearest frame, or stay in its tile if that mask is empty."""
        box = found.find_box()
        return found.region if box is None else self._find_tile([box], size)

    def _find_tile(self, boxes: list[NDArray[np.float64]], size: tuple[int, int]) -> Crop | None:
        """Find the tile at least twice as large as boxes (x0, y0, x1, y1) whose middle is nearest to theirs."""
        if not boxes:
            return None
        start, stop = np.min([box[:2] for box in boxes], axis=0), np.max([box[2:] for box in boxes], axis=0)
        side = self.tile
        while max(stop - start) > side / 2:
            side *= 2
        limit = np.array(size[::-1])
        if (side >= limit).all():
            return None
        step = side // 2
        corner = (np.round((start + stop - side) / 2 / step) * step).astype(int)
        corner = np.clip(corner, 0, np.maximum(limit - side, 0))
        return Crop(*corner.tolist(), *np.minimum(corner + side, limit).tolist())


def _find_point_box(prompt: Prompt) -> NDArray[np.float64] | None:
    points = prompt.points[prompt.labels != NEGATIVE]
    return _box_of(points) if len(points) else None


def _box_of(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the box (x0, y0, x1, y1) around points (P, 2) xy."""
    return np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float64)
