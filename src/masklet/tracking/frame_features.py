"""Features of the frame that a tracker works on: of the full frame, and of the last crop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from masklet.backend import Backend, Features
from masklet.predict.crop import Crop


@dataclass(slots=True)
class FrameFeatures:
    """Frame whose image is encoded when features are first needed.

    Attributes:
        index: Number of the frame.
        image: The image, (H, W, 3) uint8 RGB.
        features: Features by crop; None is the full frame.
    """

    index: int
    image: Any
    features: dict[Crop | None, Features] = field(default_factory=dict)

    @property
    def is_encoded(self) -> bool:
        """Whether there are features of this image, which therefore must not change."""
        return bool(self.features)

    def encode(self, backend: Backend, crop: Crop | None) -> Features:
        """Return the features of a crop; None is the full frame. Those of another crop are dropped."""
        if crop not in self.features:
            for other in self.features.keys() - {None}:  # the features of a crop take as much memory as the frame's
                del self.features[other]
            self.features[crop] = backend.encode([self.image if crop is None else crop.cut(self.image)])[0]
        return self.features[crop]
