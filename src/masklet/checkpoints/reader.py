"""Reads a checkpoint: any released or trained `.pt` and any safetensors file, told apart by content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from masklet.checkpoints.dtypes import Dtype
from masklet.checkpoints.file_kind import Kind, detect_kind
from masklet.checkpoints.memory_map import map_file
from masklet.checkpoints.safetensors_reader import read_safetensors
from masklet.checkpoints.torch_reader import read_torch

_PREFIXES = ("module.", "_orig_mod.", "model.")  # put before every name by DDP, torch.compile and Lightning

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file holds: `tensors` by name, as the file names them, and `formats`, the kinds of numbers it has."""

    path: Path
    kind: Kind
    tensors: dict[str, NDArray[Any]]
    dtypes: tuple[str, ...]

    @property
    def parameter_count(self) -> int:
        """How many numbers there are."""
        return sum(tensor.size for tensor in self.tensors.values())


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """The weights in a checkpoint file by name. No code in it is run, nothing is unpickled, PyTorch is not needed.

    Reads what `torch.save` writes, as `{"model": …}` or bare, and safetensors; of a trainer's file the weights alone.
    The arrays are views of the file, mapped copy-on-write: they cost no memory until they are changed, and the file
    must stay as it is while they live. bfloat16 is widened to float32, which is exact.

    Raises `InputNotFound`, and `CheckpointError` with a code for every way in which a file can be wrong.
    """
    return read_checkpoint(path).tensors


def read_checkpoint(path: Path) -> Checkpoint:
    """`read_tensors`, with what else is known about the file. Raises the same errors."""
    file = map_file(path)
    kind = detect_kind(file)
    tensors, formats = read_torch(file) if kind == "torch" else read_safetensors(file)
    return Checkpoint(path, kind, _bare(tensors), _names(formats.values()))


def _bare(tensors: Mapping[str, Value]) -> dict[str, Value]:
    """The same without the prefixes that wrappers put before all names."""
    for prefix in _PREFIXES * 2:  # wrappers wrap each other
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return dict(tensors)


def _names(formats: Any) -> tuple[str, ...]:
    distinct: dict[Dtype, None] = dict.fromkeys(formats)
    return tuple(known.name for known in distinct)
