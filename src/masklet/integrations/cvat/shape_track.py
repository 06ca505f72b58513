"""Track of one shape through frames that arrive one by one, and embeddings that several tracks share."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Backend, Features
from masklet.masks.cvat_shapes import encode_shape, make_shape_prompt
from masklet.segmenter import Segmenter
from masklet.tracking.disk_cache import DiskCache
from masklet.tracking.tracker import Tracker

_MAX_SHARED = 4  # frames whose embeddings are kept

Image = NDArray[np.uint8]


class SharedEmbeddings:
    """Backend that encodes each of the last few frames once, for the tracks of all shapes on it.

    Frames are compared by identity: a track is given the same array as the others.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._known: deque[tuple[Image, Features]] = deque(maxlen=_MAX_SHARED)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def encode(self, images: Sequence[Image]) -> list[Features]:
        """Encode images, or return what is known of them."""
        return [self._encode(image) for image in images]

    def _encode(self, image: Image) -> Features:
        found = next((features for known, features in self._known if known is image), None)
        if found is None:
            found = self._backend.encode([image])[0]
            self._known.append((image, found))
        return found


class ShapeTrack:
    """A shape that is followed from frame to frame. Its memory does not grow.

    Args:
        model: The model.
        kind: Type of the shape: "rectangle", "polygon" or "mask".
        points: Points of the shape, as CVAT gives them.
        image: The frame, (H, W, 3) uint8 RGB.
        backend: Backend of the model that shares embeddings; by default the model's own.

    Attributes:
        kind: The type.

    Raises:
        PromptError: `bad-prompt`. The shape has no area in the image, or is of another type.
        FormatError: Its points are malformed.
    """

    def __init__(
        self,
        model: Segmenter,
        kind: str,
        points: Sequence[float],
        image: Image,
        backend: SharedEmbeddings | None = None,
    ) -> None:
        prompt = make_shape_prompt(kind, points, (int(image.shape[0]), int(image.shape[1])))
        used = model.backend if backend is None else cast("Backend", backend)
        self.kind, self._frame = kind, 0
        self._tracker = Tracker(used, disk_cache=DiskCache(0), view=model.view, memory=model.memory)
        self._tracker.prompt(0, prompt, image)

    def follow(self, image: Image) -> list[float] | None:
        """Return the points of the shape on the next frame; None if the object is not found there.

        Raises:
            VideoError: `resolution-changed`. The frame has another size.
        """
        masks = self._tracker.step(self._frame + 1, image)
        self._frame += 1
        if not masks.visible[0] or not masks.areas[0]:
            return None
        return encode_shape(self.kind, masks.binary[0])
