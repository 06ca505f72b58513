"""Content of a checkpoint file, of any kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from masklet.checkpoints.dtypes import Dtype


@dataclass(frozen=True, slots=True)
class FileContent:
    """The content of a checkpoint file.

    Attributes:
        tensors: The tensors of the state dict by name.
        dtypes: The dtype of each in the file.
        entry: The keys that lead to the state dict, such as `("model",)`; empty if it is the saved object.
        counters: Epochs and steps of training by name.
        metadata: The texts in the header of a safetensors file.
    """

    tensors: dict[str, NDArray[Any]]
    dtypes: dict[str, Dtype]
    entry: tuple[str, ...] = ()
    counters: dict[str, float] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
