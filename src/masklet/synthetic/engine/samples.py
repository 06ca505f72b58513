"""Samples: an image or a clip with the exact masks of its targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

TargetKind = Literal["instance", "union", "part", "region"]
"""One object, a group of touching objects, a part of an object, or a region of the background."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """An image with the masks of N >= 1 targets.

    Attributes:
        image: RGB image (H, W, 3) uint8.
        masks: Visible pixels of the targets (N, H, W) bool. Targets may overlap: a part is inside its instance.
        kinds: Kind of each target.
        exhaustive: Every object in the image is a target. Otherwise an unlabeled pixel may belong to an object.
    """

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    kinds: tuple[TargetKind, ...]
    exhaustive: bool = False

    def __post_init__(self) -> None:
        assert self.image.dtype == np.uint8 and self.masks.dtype == np.bool_
        assert self.masks.shape == (len(self.kinds), *self.image.shape[:2])


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A clip of T frames with the masks of N objects.

    Attributes:
        frames: RGB frames (T, H, W, 3) uint8.
        masks: Visible pixels of the objects (T, N, H, W) bool.
        kinds: Kind of each object.
    """

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    kinds: tuple[TargetKind, ...]

    def __post_init__(self) -> None:
        frames, height, width = self.frames.shape[:3]
        assert self.masks.shape == (frames, len(self.kinds), height, width)

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Whether each object has a visible pixel on each frame (T, N) bool."""
        return np.asarray(self.masks.any((2, 3)))
