"""What the engine gives: a picture or a clip with the exact masks of what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

TargetKind = Literal["instance", "union", "part", "region"]
"""One object; a group of touching objects; a part of an object; a stretch of the background."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture `image` (H, W, 3) uint8 RGB with the visible pixels `masks` (N, H, W) bool of N >= 1 targets.

    Targets may overlap: a part lies inside its instance, a union holds several instances. `exhaustive` says whether
    every object in the picture is among the targets; where it is not, an unlabelled pixel is no proof of absence.
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
    """T frames `frames` (T, H, W, 3) uint8 RGB, the visible pixels `masks` (T, N, H, W) bool of N objects.

    `visible` (T, N) bool: False where an object has left, is wholly covered, or has not come yet.
    """

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    kinds: tuple[TargetKind, ...]

    def __post_init__(self) -> None:
        frames, height, width = self.frames.shape[:3]
        assert self.masks.shape == (frames, len(self.kinds), height, width)

    @property
    def visible(self) -> NDArray[np.bool_]:
        return np.asarray(self.masks.any((2, 3)))
