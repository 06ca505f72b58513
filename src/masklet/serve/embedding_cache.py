"""Embeddings of images within a budget of memory, which the thread of the model makes and uses."""

from __future__ import annotations

from masklet.predict.embedded_image import EmbeddedImage
from masklet.segmenter import Segmenter
from masklet.serve.image_store import ServedImage
from masklet.views.encoded_frame import EncodedFrame, FeatureCache


class EmbeddingCache:
    """Encoded regions of images; the least recently used ones are dropped beyond the budget.

    Args:
        model: The model.
        max_bytes: Budget; at least one region is kept.
    """

    def __init__(self, model: Segmenter, max_bytes: int) -> None:
        self._model, self._cache = model, FeatureCache(model.backend, max_bytes)
        self._needs_whole_image = model.view.looks > 0 or not model.view.has_regions

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def byte_count(self) -> int:
        """Bytes of all embeddings."""
        return self._cache.byte_count

    def is_ready(self, image: ServedImage) -> bool:
        """Return whether a prompt can be decoded without encoding the whole image. Any thread may ask."""
        return not self._needs_whole_image or (image.number, None) in self._cache

    def encode(self, image: ServedImage) -> None:
        """Encode the whole image, unless that is done."""
        self._open(image).encode(None)

    def open(self, image: ServedImage) -> EmbeddedImage:
        """Return an image for predictions."""
        return EmbeddedImage(self._open(image), self._model.view)

    def _open(self, image: ServedImage) -> EncodedFrame:
        return EncodedFrame(self._model.backend, image.pixels, self._cache, image.number)
