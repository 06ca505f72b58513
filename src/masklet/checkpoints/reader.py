"""Checkpoint reading: PyTorch `.pt` files and safetensors, detected by content, as numpy arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from masklet.checkpoints.dtypes import Dtype
from masklet.checkpoints.file_kind import Kind, detect_kind
from masklet.checkpoints.memory_map import map_file
from masklet.checkpoints.safetensors_reader import read_safetensors
from masklet.checkpoints.torch_reader import TorchContent, read_torch
from masklet.checkpoints.wrappers import rename, unwrap
from masklet.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The content of a checkpoint file.

    Attributes:
        path: The file.
        kind: "torch" or "safetensors".
        tensors: The arrays by the names in the file, without what DDP, torch.compile, EMA, Lightning and PEFT add.
        dtypes: The dtypes in the file, each once. bfloat16 tensors are float32 in `tensors`.
        wrapping: The keys that lead to the state dict, and what was removed from its names, outermost first.
        counters: Epochs and steps of training by name.
    """

    path: Path
    kind: Kind
    tensors: dict[str, NDArray[Any]]
    dtypes: tuple[str, ...]
    wrapping: tuple[str, ...] = ()
    counters: dict[str, float] = field(default_factory=dict)

    @property
    def parameter_count(self) -> int:
        """The number of values in all tensors."""
        return sum(tensor.size for tensor in self.tensors.values())


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read the weights of a checkpoint file. No code in the file is run.

    Files of `torch.save` are read with the state dict as the saved object or as an entry such as "model",
    "state_dict" or "model_ema", also nested; averaged weights are preferred. The optimizer state and other entries are
    ignored.

    Returns:
        The arrays by name. They are views of a private memory map: they take no memory until they are changed, changes
        do not reach the file, and the file must not be changed while they are in use. bfloat16 is widened exactly to
        float32.

    Raises:
        InputNotFound: The file is missing, empty or unreadable.
        CheckpointError: The file is no checkpoint, damaged, unsafe, or contains NaN or infinity. The code says which.
    """
    return read_checkpoint(path).tensors


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the weights of a checkpoint file with its kind and dtypes. See `read_tensors` for the details."""
    file = map_file(path)
    kind = detect_kind(file)
    content = read_torch(file) if kind == "torch" else TorchContent(*read_safetensors(file), (), {})
    try:
        unwrapped = unwrap(content.tensors)
    except CheckpointError as error:
        raise file.make_error(error.code, error.message) from None
    return Checkpoint(
        path,
        kind,
        rename(content.tensors, unwrapped),
        _list_names(rename(content.dtypes, unwrapped).values()),
        (*content.entry, *unwrapped.wrappers),
        content.counters,
    )


def _list_names(dtypes: Iterable[Dtype]) -> tuple[str, ...]:
    return tuple(dtype.name for dtype in dict.fromkeys(dtypes))
