"""A network that is about to be written: what it is, its weights, and the size of the pictures that it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from masklet.config import ModelConfig


@dataclass(frozen=True, slots=True)
class Network:
    """`tensors` by our names; `size` is the side of the square that pictures are resized to."""

    config: ModelConfig
    tensors: Mapping[str, NDArray[Any]]
    size: int
