"""Checkpoint reading: PyTorch `.pt` files and safetensors, detected by content, as numpy arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from masklet.checkpoints.dtypes import Dtype
from masklet.checkpoints.file_content import FileContent
from masklet.checkpoints.file_kind import Kind, detect_kind
from masklet.checkpoints.memory_map import MappedFile, map_file
from masklet.checkpoints.safetensors_reader import read_safetensors
from masklet.checkpoints.torch_reader import read_torch
from masklet.checkpoints.weight_folder import is_weight_folder, list_weight_files
from masklet.checkpoints.wrappers import rename, unwrap
from masklet.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The content of a checkpoint file.

    Attributes:
        path: The file, or the folder of transformers or PEFT.
        kind: "torch" or "safetensors".
        tensors: The arrays by the names in the file, without what DDP, torch.compile, EMA, Lightning and PEFT add.
        dtypes: The dtypes in the file, each once. bfloat16 tensors are float32 in `tensors`.
        wrapping: The keys that lead to the state dict, and what was removed from its names, outermost first.
        counters: Epochs and steps of training by name.
        metadata: The texts in the header of a safetensors file.
    """

    path: Path
    kind: Kind
    tensors: dict[str, NDArray[Any]]
    dtypes: tuple[str, ...]
    wrapping: tuple[str, ...] = ()
    counters: dict[str, float] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def parameter_count(self) -> int:
        """The number of values in all tensors."""
        return sum(tensor.size for tensor in self.tensors.values())


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read the weights of a checkpoint file, or of a folder of transformers or PEFT. No code in the file is run.

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
    files = [map_file(part) for part in (list_weight_files(path) if is_weight_folder(path) else [path])]
    kind = detect_kind(files[0])
    content = _join([(file, _read_file(file)) for file in files])
    try:
        unwrapped = unwrap(content.tensors)
    except CheckpointError as error:
        raise files[0].make_error(error.code, error.message) from None
    return Checkpoint(
        path,
        kind,
        rename(content.tensors, unwrapped),
        _list_names(rename(content.dtypes, unwrapped).values()),
        (*content.entry, *unwrapped.wrappers),
        content.counters,
        content.metadata,
    )


def _read_file(file: MappedFile) -> FileContent:
    return read_torch(file) if detect_kind(file) == "torch" else read_safetensors(file)


def _join(parts: Sequence[tuple[MappedFile, FileContent]]) -> FileContent:
    """Join the files of a folder. Raises `CheckpointError` if two have a tensor of the same name."""
    joined = parts[0][1]
    for file, part in parts[1:]:
        repeated = next((name for name in part.tensors if name in joined.tensors), None)
        if repeated is not None:
            raise file.make_error("checkpoint-corrupt", f"{repeated} is in another file of the folder as well")
        joined = replace(joined, tensors=joined.tensors | part.tensors, dtypes=joined.dtypes | part.dtypes)
    return joined


def _list_names(dtypes: Iterable[Dtype]) -> tuple[str, ...]:
    return tuple(dtype.name for dtype in dict.fromkeys(dtypes))
