"""Crop of an image: its position, and the mapping of masks between crop and image."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.config import CERTAIN_LOGIT
from masklet.masks.resize import resize_logits


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

    def paste(self, logits: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
        """Resize logits (h, w) to the crop and paste them into an image of `size` (H, W) that is empty elsewhere."""
        return self.resample(logits, full_crop(size))

    def paste_mask(self, logits: NDArray[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the mask of logits (h, w) that cover the crop, in an image of `size` (H, W)."""
        mask = np.zeros(size, bool)
        np.greater(resize_logits(logits, self.size), 0, out=mask[self.top : self.bottom, self.left : self.right])
        return mask

    def resample(self, logits: NDArray[Any], other: Crop) -> NDArray[Any]:
        """Resample logits (h, w) that cover this crop to another crop, one value per pixel of the image."""
        resampled = np.full(other.size, -CERTAIN_LOGIT, logits.dtype)
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        if left < right and top < bottom:
            shared = Crop(left - self.left, top - self.top, right - self.left, bottom - self.top)
            target = resampled[top - other.top : bottom - other.top, left - other.left : right - other.left]
            target[:] = shared.cut(resize_logits(logits, self.size))
        return resampled


def full_crop(size: tuple[int, int]) -> Crop:
    """Return the crop that is a whole image of `size` (H, W)."""
    return Crop(0, 0, size[1], size[0])
