"""PyTorch checkpoint reading: a ZIP archive with one pickle and one member for each storage."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.checkpoints.file_content import FileContent
from masklet.checkpoints.integrity import Block, check_blocks, require_finite
from masklet.checkpoints.memory_map import MappedFile
from masklet.checkpoints.pickle_interpreter import Storage, Tensor, interpret_pickle
from masklet.checkpoints.zip_archive import Member, list_members
from masklet.errors import CheckpointError

_MAX_PICKLE_BYTES = 16 << 20  # the pickle of the largest released checkpoint has 0.1 MB
_ENTRY_KEYS = (  # where training scripts put the state dict; averaged weights come first
    "ema_state_dict",
    "state_dict_ema",
    "model_ema",
    "ema_model",
    "params_ema",
    "ema",
    "shadow",
    "model",
    "state_dict",
    "model_state_dict",
    "module",
    "net",
    "network",
    "sam",
    "params",
)
_COUNTER_KEYS = ("epoch", "step", "steps", "global_step", "iteration", "iter")  # of training
_MAX_PHASES, _MAX_NAME, _MAX_COUNT = 4, 40, 1 << 53  # of these that are read
_MAX_NESTING = 3  # of the entries
_DOWNLOAD_AGAIN = "download it again"


def read_torch(file: MappedFile) -> FileContent:
    """Read a file of `torch.save`.

    Raises:
        CheckpointError: The file is damaged, unsafe, too large, has no state dict, or contains NaN or infinity.
    """
    members = list_members(file)
    _check_byte_order(file, members)
    root = interpret_pickle(file, _read_pickle(file, members["data.pkl"]))
    entry, tensors = _find_state_dict(file, root)
    storages = _collect_storages(file, tensors, members)
    suspects = _check_members(file, members, storages)
    values = {key: storage.dtype.decode(members[f"data/{key}"].raw(file)) for key, storage in storages.items()}
    arrays = {name: view_tensor(file, name, tensor, values[tensor.storage.key]) for name, tensor in tensors.items()}
    require_finite(file, {name: arrays[name] for name, tensor in tensors.items() if tensor.storage.key in suspects})
    return FileContent(
        arrays, {name: tensor.storage.dtype for name, tensor in tensors.items()}, entry, _find_counters(root)
    )


def _check_byte_order(file: MappedFile, members: Mapping[str, Member]) -> None:
    order = bytes(members["byteorder"].raw(file)[:16]) if "byteorder" in members else b"little"
    if order != b"little":
        raise file.make_error("checkpoint-unknown-format", f"the byte order is {order!r}; only b'little' is supported")


def _read_pickle(file: MappedFile, member: Member) -> bytes:
    size = member.stop - member.start
    if size > _MAX_PICKLE_BYTES:
        message = f"the pickle data.pkl has {size} bytes; at most {_MAX_PICKLE_BYTES} are read"
        raise file.make_error("checkpoint-bomb", message)
    program = bytes(member.raw(file))
    if zlib.crc32(program) != member.crc:
        raise _make_checksum_error(file, member.name)
    return program


def _find_state_dict(file: MappedFile, root: object) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """Find the tensors in the unpickled object or under the keys of training scripts. Returns the keys and them."""
    found = _search_entries(root, _MAX_NESTING, set())
    if found is None:
        message = "no state dict: it must be the saved object or its entry 'model' or 'state_dict'"
        hint = 'save the weights with torch.save({"model": model.state_dict()}, path)'
        raise file.make_error("checkpoint-mismatch", message, hint=hint)
    return found


def _search_entries(root: object, nesting: int, visited: set[int]) -> tuple[tuple[str, ...], dict[str, Tensor]] | None:
    if not isinstance(root, dict) or id(root) in visited:
        return None
    visited.add(id(root))
    for key in _ENTRY_KEYS if nesting else ():
        if key in root and (found := _search_entries(root[key], nesting - 1, visited)):
            return (key, *found[0]), found[1]
    tensors = {name: value for name, value in root.items() if isinstance(name, str) and isinstance(value, Tensor)}
    return ((), tensors) if tensors else None


def _find_counters(root: object) -> dict[str, float]:
    """Find the epochs and steps in a training checkpoint. Meta's has the steps of each phase."""
    counters: dict[str, float] = {}
    entries: dict[Any, Any] = root if isinstance(root, dict) else {}
    for key in _COUNTER_KEYS:
        value = entries.get(key)
        items = list(value.items())[:_MAX_PHASES] if isinstance(value, dict) else []
        phases = {f"{key} of {str(phase)[:_MAX_NAME]}": count for phase, count in items}
        counters |= {name: count for name, count in (phases or {key: value}).items() if _is_count(count)}
    return counters


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_COUNT


def _collect_storages(
    file: MappedFile, tensors: Mapping[str, Tensor], members: Mapping[str, Member]
) -> dict[str, Storage]:
    """Collect the storages of all tensors by key, and check that each has a member of its size."""
    storages: dict[str, Storage] = {}
    for name, tensor in tensors.items():
        storage = tensor.storage
        member = members.get(f"data/{storage.key}")
        first = storages.setdefault(storage.key, storage)
        if member is None or first != storage or member.stop - member.start != storage.length * storage.dtype.itemsize:
            message = f"the data of {name} are missing or have another size"
            raise file.make_error("checkpoint-corrupt", message, hint=_DOWNLOAD_AGAIN)
    return storages


def _check_members(file: MappedFile, members: Mapping[str, Member], storages: Mapping[str, Storage]) -> set[str]:
    """Check the checksums of all members. Returns the keys of the storages that may contain NaN or infinity."""
    dtypes = {f"data/{key}": storage.dtype for key, storage in storages.items()}
    blocks = {name: Block(member.raw(file), dtypes.get(name), member.crc) for name, member in members.items()}
    checks = check_blocks(blocks)
    for name, check in checks.items():
        if not check.is_intact:
            raise _make_checksum_error(file, name)
    return {key for key in storages if not checks[f"data/{key}"].is_finite}


def view_tensor(file: MappedFile, name: str, tensor: Tensor, values: NDArray[Any]) -> NDArray[Any]:
    """Return a tensor as a view of the values of its storage.

    Raises:
        CheckpointError: `checkpoint-corrupt`. It does not lie inside its storage.
    """
    label = f"{name} of shape {str(tensor.shape)[:80]}"
    if not _fits(tensor, len(values)):
        raise file.make_error("checkpoint-corrupt", f"{label} does not fit its storage of {len(values)} values")
    try:
        if 0 in tensor.shape:
            return np.zeros(tensor.shape, values.dtype)
        strides = [stride * values.itemsize for stride in tensor.strides]
        view: NDArray[Any] = np.ndarray(tensor.shape, values.dtype, values, tensor.offset * values.itemsize, strides)
    except (ValueError, OverflowError) as cause:
        raise file.make_error("checkpoint-corrupt", f"{label} is impossible: {cause}") from cause
    return view if view.flags.aligned else view.copy()


def _fits(tensor: Tensor, length: int) -> bool:
    """Return whether a tensor lies inside its storage and does not repeat values to appear larger than it is."""
    sides = [(side, stride) for side, stride in zip(tensor.shape, tensor.strides, strict=True) if side != 1]
    if any(side == 0 for side, _ in sides):
        return all(side >= 0 for side, _ in sides)
    if tensor.offset < 0 or any(side < 0 or stride <= 0 for side, stride in sides):
        return False
    last = tensor.offset + sum((side - 1) * stride for side, stride in sides)
    return last < length and math.prod(tensor.shape) <= length


def _make_checksum_error(file: MappedFile, name: str) -> CheckpointError:
    message = f"the archive member {name!r} is damaged: its checksum differs"
    return file.make_error("checkpoint-corrupt", message, hint=_DOWNLOAD_AGAIN)
