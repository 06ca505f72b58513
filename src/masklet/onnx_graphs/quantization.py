"""Which layers may be rounded to eight bits, and to which numbers; attention, heads and small ones stay as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LARGE = re.compile(
    r"trunk\.blocks\.\d+\.(attention\.(q|k|v|proj)|mlp\.(up|down)|shortcut)"
    r"|memory_attention\.layers\.\d+\.(up|down)"
    r"|memory_encoder\.fuser\.\d+\.(up|down)"
)
"""The names of the layers that do most of the work and take most of the room."""

GREATEST = 63  # of a weight, in seven bits: with eight, sums overflow on processors without instructions for them
Range = tuple[float, float]


class Rounded(NamedTuple):
    """A matrix of whole numbers, and what one of them stands for in each column."""

    numbers: NDArray[np.int8]
    scale: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rounding:
    """How a graph's large layers are rounded: by the `ranges` seen of what flows into them, or each time anew.

    With `watch` they are not: the graph gives out the `ends` of each range beside its own outputs.
    """

    ranges: Mapping[str, Range] = field(default_factory=dict)
    watch: bool = False

    def applies(self, name: str) -> bool:
        """Whether a layer is rounded."""
        return LARGE.fullmatch(name) is not None

    def step(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
        """Scale and zero of what flows into a layer, of which 0 is one step exactly; None if each time anew."""
        if name not in self.ranges:
            return None
        low, high = (min(self.ranges[name][0], 0.0), max(self.ranges[name][1], 0.0))
        scale = (high - low) / 255 or 1.0
        return np.array(scale, np.float32), np.array(round(-low / scale), np.uint8)


def ends(name: str) -> tuple[str, str]:
    """The outputs of a watched layer: the least and the greatest number that flowed into it."""
    return f"{name}.least", f"{name}.greatest"


def rounded(matrix: NDArray[Any]) -> Rounded:
    """A matrix (in, out), each column by its own scale."""
    scale = np.abs(matrix).max(axis=0) / GREATEST
    scale = np.where(scale > 0, scale, 1)
    return Rounded(np.rint(matrix / scale).astype(np.int8), scale.astype(np.float32))
