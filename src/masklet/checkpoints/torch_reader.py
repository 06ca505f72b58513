"""Reads a PyTorch checkpoint: a ZIP archive with one pickle and one member for every row of numbers."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.checkpoints.dtypes import Dtype
from masklet.checkpoints.integrity import Block, check_blocks, require_finite
from masklet.checkpoints.memory_map import MappedFile
from masklet.checkpoints.pickle_interpreter import Storage, Tensor, interpret_pickle
from masklet.checkpoints.zip_archive import Member, list_members

_MAX_PICKLE_BYTES = 16 << 20  # bytes; that of the largest released checkpoint has 0.1 MB
_WRAPPER_KEYS = ("model", "state_dict", "model_state_dict")  # where trainers put the weights, beside other things

_AGAIN = "download it again"


def read_torch(file: MappedFile) -> tuple[dict[str, NDArray[Any]], dict[str, Dtype]]:
    """The tensors by name, and the format that each has in the file. Raises `CheckpointError`."""
    parts = list_members(file)
    _check_byte_order(file, parts)
    described = _weights(file, interpret_pickle(file, _pickle(file, parts["data.pkl"])))
    storages = _storages(file, described, parts)
    suspects = _suspects(file, parts, storages)
    rows = {key: storage.dtype.decode(parts[f"data/{key}"].raw(file)) for key, storage in storages.items()}
    tensors = {name: _view(file, name, tensor, rows[tensor.storage.key]) for name, tensor in described.items()}
    require_finite(file, {name: tensors[name] for name, tensor in described.items() if tensor.storage.key in suspects})
    return tensors, {name: tensor.storage.dtype for name, tensor in described.items()}


def _check_byte_order(file: MappedFile, parts: Mapping[str, Member]) -> None:
    order = bytes(parts["byteorder"].raw(file)[:16]) if "byteorder" in parts else b"little"
    if order != b"little":
        raise file.make_error("checkpoint-unknown-format", f"its byte order is {order!r}; only b'little' is read")


def _pickle(file: MappedFile, member: Member) -> bytes:
    size = member.stop - member.start
    if size > _MAX_PICKLE_BYTES:
        raise file.make_error(
            "checkpoint-bomb", f"its data.pkl has {size} bytes, more than the {_MAX_PICKLE_BYTES} that are read"
        )
    program = bytes(member.raw(file))
    if zlib.crc32(program) != member.crc:
        raise _damaged(file, member.name)
    return program


def _weights(file: MappedFile, root: object) -> dict[str, Tensor]:
    """The tensors of the state dict: what the pickle holds, or what it holds as "model", "state_dict", …"""
    for _ in range(3):
        if not isinstance(root, dict):
            break
        found = {name: value for name, value in root.items() if isinstance(name, str) and isinstance(value, Tensor)}
        if found:
            return found
        root = next((root[key] for key in _WRAPPER_KEYS if key in root), None)
    raise file.make_error(
        "checkpoint-mismatch",
        f"no weights in it; they are looked for as its entries, or those of {' or '.join(map(repr, _WRAPPER_KEYS))}",
        hint='save them with torch.save({"model": model.state_dict()}, path)',
    )


def _storages(file: MappedFile, described: Mapping[str, Tensor], parts: Mapping[str, Member]) -> dict[str, Storage]:
    """The rows of numbers that the tensors are views of, each with a member of just its size."""
    storages: dict[str, Storage] = {}
    for name, tensor in described.items():
        storage = tensor.storage
        member = parts.get(f"data/{storage.key}")
        known = storages.setdefault(storage.key, storage)
        if member is None or known != storage or member.stop - member.start != storage.length * storage.dtype.itemsize:
            raise file.make_error(
                "checkpoint-corrupt", f"the numbers of {name} are missing or of another size", hint=_AGAIN
            )
    return storages


def _suspects(file: MappedFile, parts: Mapping[str, Member], storages: Mapping[str, Storage]) -> set[str]:
    """Checks the checksums of all members; returns the keys of the storages that may hold NaN or infinity."""
    formats = {f"data/{key}": storage.dtype for key, storage in storages.items()}
    findings = check_blocks({name: Block(part.raw(file), formats.get(name), part.crc) for name, part in parts.items()})
    for name, finding in findings.items():
        if not finding.is_intact:
            raise _damaged(file, name)
    return {key for key in storages if not findings[f"data/{key}"].is_finite}


def _view(file: MappedFile, name: str, tensor: Tensor, row: NDArray[Any]) -> NDArray[Any]:
    """The tensor as a view of its row."""
    described = f"{name} of shape {str(tensor.shape)[:80]}"
    if not _fits(tensor, len(row)):
        raise file.make_error("checkpoint-corrupt", f"{described} does not fit into its {len(row)} numbers")
    try:
        if 0 in tensor.shape:
            return np.zeros(tensor.shape, row.dtype)
        strides = [stride * row.itemsize for stride in tensor.strides]
        view: NDArray[Any] = np.ndarray(tensor.shape, row.dtype, row, tensor.offset * row.itemsize, strides)
    except (ValueError, OverflowError) as cause:
        raise file.make_error("checkpoint-corrupt", f"{described} cannot be: {cause}") from cause
    return view if view.flags.aligned else view.copy()


def _fits(tensor: Tensor, length: int) -> bool:
    """Whether a view lies within its row of numbers and does not repeat them to look larger than it is."""
    sides = [(side, stride) for side, stride in zip(tensor.shape, tensor.strides, strict=True) if side != 1]
    if any(side == 0 for side, _ in sides):
        return all(side >= 0 for side, _ in sides)
    if tensor.offset < 0 or any(side < 0 or stride <= 0 for side, stride in sides):
        return False
    last = tensor.offset + sum((side - 1) * stride for side, stride in sides)
    return last < length and math.prod(tensor.shape) <= length


def _damaged(file: MappedFile, name: str) -> Exception:
    return file.make_error("checkpoint-corrupt", f"the member {name!r} is damaged: its checksum differs", hint=_AGAIN)
