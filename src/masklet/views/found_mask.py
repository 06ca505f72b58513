"""Mask of an object as it was found in a region of an image."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Backend, Decoded
from masklet.masks.connected_components import keep_components_at
from masklet.masks.crop import Crop, full_crop
from masklet.prompts import POSITIVE, Prompt

_TRIMMED = 0.04  # share of a mask's pixels on each side that is left out where its box is measured


class FoundMask:
    """Mask that was predicted or given in a region of an image of `size` (H, W).

    Args:
        region: The region; None is the whole image.
        size: The image's (H, W).
        array: Logits as the decoder takes them to refine, in the backend's or NumPy's array.
        fetch: Returns the logits (h, w) as a NumPy array. It is called once, when they are needed.
        extent: Returns the logits (h, w) that measure the object where several masks were predicted of it.
    """

    def __init__(
        self,
        region: Crop | None,
        size: tuple[int, int],
        array: Any,
        fetch: Callable[[], NDArray[Any]],
        extent: Callable[[], NDArray[Any]] | None = None,
    ) -> None:
        self.region, self._size, self._array = region, size, array
        self._fetch, self._fetch_extent = fetch, extent

    @staticmethod
    def of(
        backend: Backend,
        decoded: Decoded,
        region: Crop | None,
        size: tuple[int, int],
        extent: Callable[[], NDArray[Any]] | None = None,
    ) -> FoundMask:
        """Return the mask of a result in a region of an image of `size` (H, W)."""
        return FoundMask(region, size, decoded.logits, lambda: backend.fetch([decoded]).logits[0], extent)

    @cached_property
    def logits(self) -> NDArray[Any]:
        """Logits (h, w) that cover the region."""
        return self._fetch()

    @cached_property
    def extent(self) -> NDArray[Any]:
        """Logits (h, w) that measure the object."""
        return self.logits if self._fetch_extent is None else self._fetch_extent()

    def cover(self, region: Crop | None) -> Any:
        """Return the logits as they cover another region, for the decoder."""
        if region == self.region:
            return self._array
        return (self.region or full_crop(self._size)).resample(self.logits, region or full_crop(self._size))

    def find_box(self) -> NDArray[np.float64] | None:
        """Find the box of the mask without its outermost pixels, extended as if they were evenly spread.

        Returns:
            The box (x0, y0, x1, y1) in pixels of the image; None if the mask is empty.
        """
        mask = self.extent > 0
        if not mask.any():
            return None
        region = self.region or full_crop(self._size)
        (x0, x1), (y0, y1) = (_find_extent(mask.sum(axis=axis)) for axis in (0, 1))
        scale = np.tile(np.divide(region.size, mask.shape)[::-1], 2)
        return np.asarray(np.array([x0, y0, x1, y1]) * scale + np.tile(region[:2], 2))

    def keep_clicked(self, prompt: Prompt) -> FoundMask:
        """Keep the connected components that the positive points of a prompt lie on.

        On the whole image, one mask can cover several similar objects, which are separate in a smaller region.
        """
        points = prompt.points[prompt.labels == POSITIVE]
        if not len(points) or not (self.extent > 0).any():
            return self
        region = self.region or full_crop(self._size)
        shares = (points - region[:2]) / region.size[::-1]

        def keep(logits: NDArray[Any]) -> NDArray[Any]:
            return keep_components_at(logits, shares * logits.shape[::-1])

        clicked = keep(self.logits)
        return FoundMask(self.region, self._size, clicked, lambda: clicked, lambda: keep(self.extent))


def _find_extent(counts: NDArray[Any]) -> tuple[float, float]:
    """Return the first and last position of pixels counted along an axis, estimated without the outermost ones."""
    share = np.cumsum(counts) / counts.sum()
    first, last = np.interp((_TRIMMED, 1 - _TRIMMED), np.concatenate([[0.0], share]), np.arange(len(counts) + 1))
    margin = (last - first) * _TRIMMED / (1 - 2 * _TRIMMED)
    return float(first - margin), float(last + margin)
