"""A part of a picture that is looked at closely: where it lies, how prompts come into it and masks out again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.errors import SettingsError
from masklet.masks.connected_components import keep_components_at
from masklet.masks.iou import masks_to_boxes
from masklet.masks.masks import CERTAIN_LOGIT, Masks
from masklet.masks.resize import resize_logits
from masklet.prompts import POSITIVE, SLACK, TOP_LEFT, Prompt

LEAST = 32  # pixels of a side: in less there is nothing to be seen
STILL, RIM = 1.6, 0.05  # a window stays while its object is about as long, and inside without its rim
TAIL = 0.04  # of a mask's pixels on each side that do not count for where it is
CHANGE, SEARCH = 1.03, 1.3  # how much longer a window gets in a frame: with its object, and to find it again
FULL = 0.9  # of a window: of an object this long the rest may be outside
ZOOM_PASSES = 2  # at what a click found in the whole picture: the second where the first shows the object to be
ENOUGH = 0.7  # of both of the picture's sides: a window this long would show no more than the picture does


class Crop(NamedTuple):
    """A part of a picture, in its pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) in pixels of the picture."""
        return self.bottom - self.top, self.right - self.left

    def cut(self, image: NDArray[Any]) -> NDArray[Any]:
        """What is seen of a picture (H, W, …)."""
        return np.ascontiguousarray(image[self.top : self.bottom, self.left : self.right])

    def to_crop(self, prompt: Prompt, size: tuple[int, int]) -> Prompt | None:
        """The prompt on a picture of `size` (H, W) as one on the window, in its pixels; clicks outside of it are left
        out, and None is what remains where nothing else was said."""
        least, most = np.float32(-SLACK), np.array(self.size[::-1], np.float32) + np.float32(SLACK)
        points = prompt.points - np.array([self.left, self.top], np.float32)
        inside = ((points >= least) & (points <= most)).all(axis=1) | (prompt.labels >= TOP_LEFT)
        mask = None if prompt.mask is None else self.cut(_full(prompt.mask, size))
        if mask is None and not inside.any():
            return None
        return Prompt(np.clip(points[inside], least, most), prompt.labels[inside], mask)

    def find_box(self, logits: NDArray[Any], on: NDArray[Any] | None = None) -> NDArray[np.float64] | None:
        """The box (x0, y0, x1, y1) in the picture of a mask whose logits (h, w) cover the window, as if it were without
        its outermost parts; None if it is empty. With clicks `on` (P, 2) xy in the picture, that of the clicked pieces.
        """
        mask = logits > 0
        if not mask.any():
            return None
        if on is not None and len(on):
            shares = (on - np.array([self.left, self.top])) / self.size[::-1]
            mask = keep_components_at(logits, shares * logits.shape[::-1]) > 0
        (x0, x1), (y0, y1) = (_extent(mask.sum(axis=axis)) for axis in (0, 1))
        scale = np.tile(np.divide(self.size, logits.shape)[::-1], 2)
        return np.asarray(np.array([x0, y0, x1, y1]) * scale + np.tile([self.left, self.top], 2))

    def paste(self, logits: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
        """Logits (h, w) that cover the window as (H, W) that cover the picture; nothing is outside."""
        whole = np.full(size, -CERTAIN_LOGIT, logits.dtype)
        whole[self.top : self.bottom, self.left : self.right] = resize_logits(logits, self.size)
        return whole


def full_crop(size: tuple[int, int]) -> Crop:
    """The window that is a picture of `size` (H, W)."""
    return Crop(0, 0, size[1], size[0])


def crop_around(box: NDArray[Any], size: tuple[int, int], zoom: float, previous: Crop | None = None) -> Crop | None:
    """The square window `reach` times as long as the longer side of a box (x0, y0, x1, y1) with the box in its middle,
    moved into the picture of `size` (H, W) and no larger than that. None where it would be most of the picture.

    Where it would be much like a window `near`, which was the one before in a video, it is that.
    """
    start, stop = np.asarray(box[:2], np.float64), np.asarray(box[2:], np.float64)
    long = float((stop - start).max())
    side = max(LEAST, long * zoom)
    most = np.array(size[::-1])
    if previous is not None:
        before = float(max(previous.size))
        rim, full = RIM * before, long > FULL * before
        first, last = (
            np.array(previous[:2]),
            np.array(previous[2:]),
        )  # what touches the picture's edge touches the window's
        inside = ((first == 0) | (start >= first + rim)) & ((last == most) | (stop <= last - rim))
        if not full and inside.all() and before / STILL < side < before * STILL:
            return previous
        side = long * SEARCH if full else float(np.clip(side, before / CHANGE, before * CHANGE))
    sides = np.minimum(most, side).round().astype(int)
    if (sides >= ENOUGH * most).all():
        return None
    corner = np.clip(((start + stop - sides) / 2).round().astype(int), 0, most - sides)
    return Crop(*corner.tolist(), *(corner + sides).tolist())


def widen_crop(crop: Crop | None, size: tuple[int, int]) -> Crop | None:
    """A longer window, for what was not found in this one; None in the end, for all of the picture."""
    return None if crop is None else crop_around(np.array(crop), size, SEARCH)


def prompt_box(prompt: Prompt, size: tuple[int, int]) -> NDArray[np.float64] | None:
    """The box (x0, y0, x1, y1) that a prompt on a picture of `size` (H, W) tells, or that of its mask; None without."""
    corners = prompt.points[prompt.labels >= TOP_LEFT]
    if len(corners):
        return np.asarray(corners.ravel(), np.float64)
    if prompt.mask is None or not prompt.mask.any():
        return None
    return np.asarray(masks_to_boxes([prompt.mask])[0] * np.tile(size[::-1], 2) / np.tile(prompt.mask.shape[::-1], 2))


def positive_points(prompt: Prompt) -> NDArray[np.float32]:
    """The clicks (P, 2) that are on the object."""
    return np.asarray(prompt.points[prompt.labels == POSITIVE])


def include_points(box: NDArray[np.float64], prompt: Prompt) -> NDArray[np.float64]:
    """The box that holds this one and the clicks that are on the object."""
    on = positive_points(prompt)
    return np.concatenate([np.min([box[:2], *on], axis=0), np.max([box[2:], *on], axis=0)])


def paste_masks(masks: Masks, windows: Sequence[Crop | None]) -> Masks:
    """Masks whose logits cover windows of their picture, as masks of the picture."""
    if not any(windows):
        return masks
    whole = np.empty((len(masks), *masks.size), masks.low_res.dtype)
    for target, logits, window in zip(whole, masks.low_res, windows, strict=True):
        target[:] = (window or full_crop(masks.size)).paste(logits, masks.size)
    return replace(masks, low_res=whole)


def change_crop(logits: NDArray[Any], theirs: Crop | None, ours: Crop | None, size: tuple[int, int]) -> NDArray[Any]:
    """Logits (h, w) that cover one window of a picture of `size` (H, W), as another shows them; None is the picture."""
    return (ours or full_crop(size)).cut((theirs or full_crop(size)).paste(logits, size))


def check_zoom(zoom: float) -> float:
    """`reach` if a window can be that many times as long as an object, or 0 for none. Raises `SettingsError`."""
    if zoom and not 1 <= zoom <= 100:
        raise SettingsError(
            "bad-usage", f"zoom is how many times as long as an object its window is, 1 to 100, got {zoom}"
        )
    return zoom


def _full(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask of any size at the picture's."""
    if mask.shape == size:
        return mask
    rows, columns = ((np.arange(n) + 0.5) * (m / n) for n, m in zip(size, mask.shape, strict=True))
    return np.asarray(mask[rows.astype(int)[:, None], columns.astype(int)])


def _extent(counts: NDArray[Any]) -> tuple[float, float]:
    """Where the pixels begin and end that are counted along an axis, told by all but the outermost ones."""
    share = np.cumsum(counts) / counts.sum()
    first, last = np.interp((TAIL, 1 - TAIL), np.concatenate([[0.0], share]), np.arange(len(counts) + 1))
    spare = (last - first) * TAIL / (1 - 2 * TAIL)
    return float(first - spare), float(last + spare)
