"""View that zooms in on each object: a crop around it, which follows it through a video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from masklet.errors import SettingsError
from masklet.masks.crop import Crop
from masklet.masks.iou import masks_to_boxes
from masklet.prompts import POSITIVE, TOP_LEFT, Prompt
from masklet.views.found_mask import FoundMask
from masklet.views.mapping import map_prompt

MIN_CROP_PX = 32  # smallest side of a crop
MAX_CROP_SHARE = 0.7  # of both sides of the image; an object that needs a larger crop is predicted on the whole image
_SAME_SCALE = 1.6  # a crop is used again while its side differs from the ideal side by less than this factor
_RIM = 0.05  # share of a crop's side: the crop moves when its object comes that close to its edge
_GROWTH = 1.03  # largest change of a crop's side between two frames, as a factor
_SEARCH_GROWTH = 1.3  # growth per frame of a crop whose object was not found or fills the crop
_FULL_SHARE = 0.9  # of a crop's side: parts of a longer object may lie outside
_MAX_ZOOM = 100


@dataclass(frozen=True, slots=True)
class ZoomView:
    """View of each object in a crop of `zoom` × the size of its box.

    The network resizes every image to its square input and predicts masks at a quarter of that resolution. A small
    object covers more of these pixels in a crop than in the whole image.

    The box comes from the prompt, else from the object's mask so far, else from the clicked connected components of a
    prediction on the whole image, and then from those of the prediction in the first crop. On the next frame of a video
    the crop is around the object's mask on the nearest one. It grows while the object is not found. An object that
    fills most of the image is predicted on the whole image.

    Attributes:
        zoom: Side of a crop divided by the longer side of its object's box, from 1 to 100.

    Raises:
        SettingsError: The zoom is out of range.
    """

    has_regions: ClassVar[bool] = True
    repeats: ClassVar[bool] = True
    looks: ClassVar[int] = 2

    zoom: float

    def __post_init__(self) -> None:
        if not 1 <= self.zoom <= _MAX_ZOOM:
            message = f"zoom is a crop's side divided by the size of its object: 0 or from 1 to {_MAX_ZOOM}"
            raise SettingsError("bad-usage", f"{message}, got {self.zoom}")

    def __str__(self) -> str:
        return f"zoom {self.zoom:g}"

    def place(self, prompt: Prompt, found: FoundMask | None, size: tuple[int, int]) -> Crop | None:
        """Place the crop by the box of the prompt, or else of the mask so far; None without either."""
        box = prompt_box(prompt, size)
        if box is None and prompt.point_count and found is not None:
            box = found.find_box()
        return self._crop_for_prompt(box, prompt, size)

    def zoom_in(self, prompt: Prompt, found: FoundMask, size: tuple[int, int]) -> Crop | None:
        """Place the crop around what a click found."""
        return None if prompt_box(prompt, size) is not None else self._crop_for_prompt(found.find_box(), prompt, size)

    def follow(self, found: FoundMask, size: tuple[int, int]) -> Crop | None:
        """Place the crop around the mask on the nearest frame, or a wider one than there if that mask is empty."""
        box = found.find_box()
        return widen_crop(found.region, size) if box is None else crop_around(box, size, self.zoom, found.region)

    def _crop_for_prompt(self, box: NDArray[np.float64] | None, prompt: Prompt, size: tuple[int, int]) -> Crop | None:
        crop = None if box is None else crop_around(_include_points(box, prompt), size, self.zoom)
        return crop if crop and map_prompt(prompt, crop, size) else None


def crop_around(box: NDArray[Any], size: tuple[int, int], zoom: float, previous: Crop | None = None) -> Crop | None:
    """Place a square crop around a box.

    The box is in the middle of the crop, unless the crop is moved into the image. In a video, the previous crop is used
    again while its object fits in it.

    Args:
        box: (x0, y0, x1, y1) in pixels of the image.
        size: The image's (H, W).
        zoom: Side of the crop divided by the longer side of the box.
        previous: Crop of the same object on the frame before.

    Returns:
        The crop, at most as large as the image, or `previous`. None if the crop would cover most of the image.
    """
    start, stop = np.asarray(box[:2], np.float64), np.asarray(box[2:], np.float64)
    longer_side = float((stop - start).max())
    side = max(MIN_CROP_PX, longer_side * zoom)
    limit = np.array(size[::-1])
    if previous is not None:
        previous_side = float(max(previous.size))
        rim, fills_crop = _RIM * previous_side, longer_side > _FULL_SHARE * previous_side
        # An object at the image's edge may touch the crop's edge there.
        first, last = np.array(previous[:2]), np.array(previous[2:])
        inside = ((first == 0) | (start >= first + rim)) & ((last == limit) | (stop <= last - rim))
        if not fills_crop and inside.all() and previous_side / _SAME_SCALE < side < previous_side * _SAME_SCALE:
            return previous
        side = (
            longer_side * _SEARCH_GROWTH
            if fills_crop
            else float(np.clip(side, previous_side / _GROWTH, previous_side * _GROWTH))
        )
    sides = np.minimum(limit, side).round().astype(int)
    if (sides >= MAX_CROP_SHARE * limit).all():
        return None
    corner = np.clip(((start + stop - sides) / 2).round().astype(int), 0, limit - sides)
    return Crop(*corner.tolist(), *(corner + sides).tolist())


def widen_crop(crop: Crop | None, size: tuple[int, int]) -> Crop | None:
    """Widen a crop whose object was not found; None, after a few frames, is the whole image of `size` (H, W)."""
    return None if crop is None else crop_around(np.array(crop), size, _SEARCH_GROWTH)


def prompt_box(prompt: Prompt, size: tuple[int, int]) -> NDArray[np.float64] | None:
    """Return the box (x0, y0, x1, y1) of a prompt on an image of `size` (H, W), or of its mask; None if it has none."""
    corners = prompt.points[prompt.labels >= TOP_LEFT]
    if len(corners):
        return np.asarray(corners.ravel(), np.float64)
    if prompt.mask is None or not prompt.mask.any():
        return None
    return np.asarray(masks_to_boxes([prompt.mask])[0] * np.tile(size[::-1], 2) / np.tile(prompt.mask.shape[::-1], 2))


def _include_points(box: NDArray[np.float64], prompt: Prompt) -> NDArray[np.float64]:
    """Extend a box (x0, y0, x1, y1) to the positive points of a prompt."""
    points = prompt.points[prompt.labels == POSITIVE]
    return np.concatenate([np.min([box[:2], *points], axis=0), np.max([box[2:], *points], axis=0)])
