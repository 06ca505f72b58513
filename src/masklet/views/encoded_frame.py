"""Encoded regions of images, in a cache with a budget."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

from masklet.backend import Backend, Features, Recall, count_feature_bytes
from masklet.low_memory import clear_at_low_memory
from masklet.masks.crop import Crop

MAX_FEATURE_BYTES = 128 << 20
"""Budget of a cache of encoded regions: 8 regions with a released model at 1024 pixels, 256 with nano at 256."""


class FeatureCache:
    """Features of the most recently used regions of images or frames.

    Args:
        backend: Backend with the model.
        max_bytes: Budget. At least one region is kept.
        can_recompute: The images of the regions are kept as well, so that the features may be dropped when the memory
            is full.
    """

    def __init__(self, backend: Backend, max_bytes: int = MAX_FEATURE_BYTES, *, can_recompute: bool = True) -> None:
        self._region_bytes = count_feature_bytes(backend)
        self._max_regions = max(1, max_bytes // self._region_bytes)
        self._regions: OrderedDict[Hashable, Features] = OrderedDict()
        if can_recompute:
            clear_at_low_memory(self)

    def __len__(self) -> int:
        return len(self._regions)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._regions

    @property
    def byte_count(self) -> int:
        """Bytes of all features."""
        return len(self._regions) * self._region_bytes

    def clear(self) -> None:
        """Drop all features."""
        self._regions.clear()

    def get(self, key: Hashable) -> Features | None:
        """Return the features of a region, which becomes the most recently used one; None if they are not there."""
        features = self._regions.pop(key, None)
        if features is not None:
            self._regions[key] = features
        return features

    def put(self, key: Hashable, features: Features) -> None:
        """Keep the features of a region, and drop those of the least recently used one beyond the budget."""
        self._regions[key] = features
        if len(self._regions) > self._max_regions:
            self._regions.popitem(last=False)


class EncodedFrame:
    """Image, or frame of a video, whose regions are encoded when they are first needed.

    Args:
        backend: Backend with the model.
        image: The image, (H, W, 3) uint8 RGB, which must not change once a region is encoded.
        cache: Cache of the features.
        index: Number of the frame; 0 for an image.

    Attributes:
        is_encoded: Whether a region was encoded.
    """

    def __init__(self, backend: Backend, image: Any, cache: FeatureCache, index: int = 0) -> None:
        self.backend, self.index, self.is_encoded = backend, index, False
        self.size = (int(image.shape[0]), int(image.shape[1]))
        self._image: Any | None = image
        self._cache = cache

    @staticmethod
    def encode_all(backend: Backend, images: Sequence[Any], *, keep_images: bool) -> list[EncodedFrame]:
        """Encode whole images of any sizes in one call, each with a cache of its own.

        Args:
            backend: Backend with the model.
            images: The images.
            keep_images: Keep the images, so that regions of them can be encoded later.
        """
        caches = [FeatureCache(backend, can_recompute=keep_images) for _ in images]
        frames = [EncodedFrame(backend, *one) for one in zip(images, caches, strict=True)]
        for frame, features in zip(frames, backend.encode(images) if images else [], strict=True):
            frame._cache.put((0, None), features)
            frame.is_encoded = True
            frame._image = frame._image if keep_images else None
        return frames

    def encode(self, region: Crop | None) -> Features:
        """Return the features of a region; None is the whole image."""
        features = self._cache.get((self.index, region))
        if features is None:
            assert self._image is not None, "an image without regions is encoded once"
            features = self.backend.encode([self._image if region is None else region.cut(self._image)])[0]
            self._cache.put((self.index, region), features)
        self.is_encoded = True
        return features

    def attend(self, region: Crop | None, recalls: Sequence[Recall]) -> Features:
        """Return a region's features for several objects with their memories; B = 1 if no object has any."""
        return self.backend.attend(self.encode(region), recalls if any(recalls) else [Recall()])
