"""The model that is written as ONNX graphs: configuration, weights and input size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from masklet.config import ModelConfig


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """Weights by masklet's key names, with their configuration and the side of the network's square in pixels."""

    config: ModelConfig
    tensors: Mapping[str, NDArray[Any]]
    input_size: int
