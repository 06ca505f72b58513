"""Crop of an image around one object: its position, and the mapping of prompts and masks between crop and image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.config import CERTAIN_LOGIT
from masklet.errors import SettingsError
from masklet.masks.connected_components import keep_components_at
from masklet.masks.iou import masks_to_boxes
from masklet.masks.masks import Masks
from masklet.masks.resize import resize_logits
from masklet.prompts import MARGIN_PX, POSITIVE, TOP_LEFT, Prompt

MIN_CROP_PX = 32  # smallest side of a crop
MAX_CROP_SHARE = 0.7  # of both sides of the image; an object that needs a larger crop is predicted on the full image
ZOOM_PASSES = 2  # crops per click without a box: around what the full image shows, then around what the crop shows
_SAME_SCALE = 1.6  # a crop is used again while its side differs from the ideal side by less than this factor
_RIM = 0.05  # share of a crop's side: the crop moves when its object comes that close to its edge
_GROWTH = 1.03  # largest change of a crop's side between two frames, as a factor
_SEARCH_GROWTH = 1.3  # growth per frame of a crop whose object was not found or fills the crop
_FULL_SHARE = 0.9  # of a crop's side: parts of a longer object may lie outside
_TRIMMED = 0.04  # share of a mask's pixels on each side that is left out where its box is measured
_MAX_ZOOM = 100


class Crop(NamedTuple):
    """Part of an image: left, top, right, bottom in pixels of the image, as integers at pixel edges."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """The crop's (h, w) in pixels of the image."""
        return self.bottom - self.top, self.right - self.left

    def cut(self, image: NDArray[Any]) -> NDArray[Any]:
        """Cut the crop out of an image or a mask (H, W, …)."""
        return np.ascontiguousarray(image[self.top : self.bottom, self.left : self.right])

    def to_crop(self, prompt: Prompt, size: tuple[int, int]) -> Prompt | None:
        """Map a prompt on the image to a prompt on the crop.

        Args:
            prompt: Prompt in pixels of the image.
            size: The image's (H, W).

        Returns:
            The prompt in pixels of the crop. Clicks outside the crop are left out, and corners of a box are moved to
            its edge. None if nothing remains.
        """
        lower, upper = np.float32(-MARGIN_PX), np.array(self.size[::-1], np.float32) + np.float32(MARGIN_PX)
        points = prompt.points - np.array([self.left, self.top], np.float32)
        inside = ((points >= lower) & (points <= upper)).all(axis=1) | (prompt.labels >= TOP_LEFT)
        mask = None if prompt.mask is None else self.cut(_resize_mask(prompt.mask, size))
        if mask is None and not inside.any():
            return None
        return Prompt(np.clip(points[inside], lower, upper), prompt.labels[inside], mask)

    def find_box(self, logits: NDArray[Any], points: NDArray[Any] | None = None) -> NDArray[np.float64] | None:
        """Find the box of a mask without its outermost pixels, extended as if they were evenly spread.

        Args:
            logits: Logits (h, w) that cover the crop.
            points: Points (P, 2) xy in pixels of the image. Only the connected components at these points count.

        Returns:
            The box (x0, y0, x1, y1) in pixels of the image; None if the mask is empty.
        """
        mask = logits > 0
        if not mask.any():
            return None
        if points is not None and len(points):
            shares = (points - np.array([self.left, self.top])) / self.size[::-1]
            mask = keep_components_at(logits, shares * logits.shape[::-1]) > 0
        (x0, x1), (y0, y1) = (_find_extent(mask.sum(axis=axis)) for axis in (0, 1))
        scale = np.tile(np.divide(self.size, logits.shape)[::-1], 2)
        return np.asarray(np.array([x0, y0, x1, y1]) * scale + np.tile([self.left, self.top], 2))

    def paste(self, logits: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
        """Resize logits (h, w) to the crop and paste them into an image of `size` (H, W) that is empty elsewhere."""
        full = np.full(size, -CERTAIN_LOGIT, logits.dtype)
        full[self.top : self.bottom, self.left : self.right] = resize_logits(logits, self.size)
        return full


def full_crop(size: tuple[int, int]) -> Crop:
    """Return the crop that is a whole image of `size` (H, W)."""
    return Crop(0, 0, size[1], size[0])


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
    """Widen a crop whose object was not found; None, after a few frames, is the full image of `size` (H, W)."""
    return None if crop is None else crop_around(np.array(crop), size, _SEARCH_GROWTH)


def prompt_box(prompt: Prompt, size: tuple[int, int]) -> NDArray[np.float64] | None:
    """Return the box (x0, y0, x1, y1) of a prompt on an image of `size` (H, W), or of its mask; None if it has none."""
    corners = prompt.points[prompt.labels >= TOP_LEFT]
    if len(corners):
        return np.asarray(corners.ravel(), np.float64)
    if prompt.mask is None or not prompt.mask.any():
        return None
    return np.asarray(masks_to_boxes([prompt.mask])[0] * np.tile(size[::-1], 2) / np.tile(prompt.mask.shape[::-1], 2))


def positive_points(prompt: Prompt) -> NDArray[np.float32]:
    """Return the positive points (P, 2) xy of a prompt."""
    return np.asarray(prompt.points[prompt.labels == POSITIVE])


def include_points(box: NDArray[np.float64], prompt: Prompt) -> NDArray[np.float64]:
    """Extend a box (x0, y0, x1, y1) to the positive points of a prompt."""
    points = positive_points(prompt)
    return np.concatenate([np.min([box[:2], *points], axis=0), np.max([box[2:], *points], axis=0)])


def paste_masks(masks: Masks, crops: Sequence[Crop | None]) -> Masks:
    """Paste masks whose logits cover crops into their image; None is the full image."""
    if not any(crops):
        return masks
    full = np.empty((len(masks), *masks.size), masks.low_res.dtype)
    for target, logits, crop in zip(full, masks.low_res, crops, strict=True):
        target[:] = (crop or full_crop(masks.size)).paste(logits, masks.size)
    return replace(masks, low_res=full)


def change_crop(logits: NDArray[Any], crop: Crop | None, new: Crop | None, size: tuple[int, int]) -> NDArray[Any]:
    """Resample logits (h, w) that cover one crop of an image of `size` (H, W) to another; None is the full image."""
    return (new or full_crop(size)).cut((crop or full_crop(size)).paste(logits, size))


def check_zoom(zoom: float) -> float:
    """Return a zoom after checking that it is 0, which disables cropping, or from 1 to 100. Raises `SettingsError`."""
    if zoom and not 1 <= zoom <= _MAX_ZOOM:
        message = f"zoom is a crop's side divided by the size of its object: 0 or from 1 to {_MAX_ZOOM}, got {zoom}"
        raise SettingsError("bad-usage", message)
    return zoom


def _resize_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Resize a mask to (H, W) by the nearest pixel."""
    if mask.shape == size:
        return mask
    rows, columns = ((np.arange(n) + 0.5) * (m / n) for n, m in zip(size, mask.shape, strict=True))
    return np.asarray(mask[rows.astype(int)[:, None], columns.astype(int)])


def _find_extent(counts: NDArray[Any]) -> tuple[float, float]:
    """Return the first and last position of pixels counted along an axis, estimated without the outermost ones."""
    share = np.cumsum(counts) / counts.sum()
    first, last = np.interp((_TRIMMED, 1 - _TRIMMED), np.concatenate([[0.0], share]), np.arange(len(counts) + 1))
    margin = (last - first) * _TRIMMED / (1 - 2 * _TRIMMED)
    return float(first - margin), float(last + margin)
