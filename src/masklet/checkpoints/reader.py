"""Checkpoint reading: PyTorch `.pt` files and safetensors, detected by content, as numpy arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from masklet.checkpoints.dtypes import Dtype
from masklet.checkpoints.file_kind import Kind, detect_kind
from masklet.checkpoints.memory_map import map_file
from masklet.checkpoints.safetensors_reader import read_safetensors
from masklet.checkpoints.torch_reader import read_torch

_PREFIXES = ("module.", "_orig_mod.", "model.")  # added to every name by DDP, torch.compile and Lightning

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The content of a checkpoint file.

    Attributes:
        path: The file.
        kind: "torch" or "safetensors".
        tensors: The arrays by the names in the file, without the prefixes of DDP, torch.compile and Lightning.
        dtypes: The dtypes in the file, each once. bfloat16 tensors are float32 in `tensors`.
    """

    path: Path
    kind: Kind
    tensors: dict[str, NDArray[Any]]
    dtypes: tuple[str, ...]

    @property
    def parameter_count(self) -> int:
        """The number of values in all tensors."""
        return sum(tensor.size for tensor in self.tensors.values())


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read the weights of a checkpoint file. No code in the file is run.

    Files of `torch.save` are read with the state dict as the saved object or as its entry "model", "state_dict" or
    "model_state_dict"; the optimizer state and other entries are ignored.

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
    tensors, dtypes = read_torch(file) if kind == "torch" else read_safetensors(file)
    return Checkpoint(path, kind, _strip_prefixes(tensors), _list_names(dtypes.values()))


def _strip_prefixes(tensors: Mapping[str, Value]) -> dict[str, Value]:
    """Remove the prefixes that all names have."""
    for prefix in _PREFIXES * 2:  # two wrappers can be nested in any order
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return dict(tensors)


def _list_names(dtypes: Iterable[Dtype]) -> tuple[str, ...]:
    return tuple(dtype.name for dtype in dict.fromkeys(dtypes))
