"""Reads safetensors: a table in JSON, then the numbers. The library judges the table; the numbers are mapped."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from masklet.checkpoints.dtypes import DTYPES_BY_SAFETENSORS_NAME, Dtype
from masklet.checkpoints.integrity import Block, check_blocks, require_finite
from masklet.checkpoints.memory_map import MappedFile

_MAX_HEADER_BYTES = 16 << 20  # bytes; that of the largest released model has 0.1 MB

_LENGTH = 8  # bytes that hold the length of the table
_AGAIN = "download it again"


def read_safetensors(file: MappedFile) -> tuple[dict[str, NDArray[Any]], dict[str, Dtype]]:
    """The tensors by name, and the format that each has in the file. Raises `CheckpointError`."""
    size = _table_size(file)
    table = _table(file, size)
    _check_length(file, _LENGTH + size + max((entry.stop for entry in table.values()), default=0))
    _judge(file)
    blocks = {name: _block(file, name, entry, _LENGTH + size) for name, entry in table.items()}
    findings = check_blocks(blocks)
    tensors = {name: _array(block, table[name].shape) for name, block in blocks.items()}
    require_finite(file, {name: tensors[name] for name, finding in findings.items() if not finding.is_finite})
    return tensors, {name: DTYPES_BY_SAFETENSORS_NAME[entry.code] for name, entry in table.items()}


class _Entry(NamedTuple):
    code: str
    shape: tuple[int, ...]
    start: int
    stop: int


def _table_size(file: MappedFile) -> int:
    size = int.from_bytes(file.content[:_LENGTH], "little")
    if size > _MAX_HEADER_BYTES:
        raise file.make_error(
            "checkpoint-bomb", f"its table claims {size} bytes, more than the {_MAX_HEADER_BYTES} that are read"
        )
    if _LENGTH + size > len(file.content):
        raise file.make_error(
            "checkpoint-truncated", f"it ends within its table, at byte {len(file.content)}", hint=_AGAIN
        )
    return size


def _table(file: MappedFile, size: int) -> dict[str, _Entry]:
    try:
        entries: dict[str, Any] = json.loads(file.content[_LENGTH : _LENGTH + size], object_pairs_hook=_unique)
        entries.pop("__metadata__", None)
        return {name: _entry(name, described) for name, described in entries.items()}
    except (ValueError, RecursionError) as cause:
        raise file.make_error("checkpoint-corrupt", f"its table is broken: {str(cause)[:200]}", hint=_AGAIN) from cause


def _entry(name: str, described: object) -> _Entry:
    match described:
        case {"dtype": str(code), "shape": list(shape), "data_offsets": [int(start), int(stop)]}:
            return _Entry(code, tuple(shape), start, stop)
        case _:
            raise ValueError(f"{name!r} is not described by dtype, shape and data_offsets")


def _check_length(file: MappedFile, claimed: int) -> None:
    if claimed > len(file.content):
        raise file.make_error("checkpoint-truncated", f"has {len(file.content)} bytes of {claimed}", hint=_AGAIN)


def _judge(file: MappedFile) -> None:
    """The library's opinion: JSON of the right form, known formats, no overlaps, no holes, the claimed length."""
    try:
        with safe_open(str(file.path), framework="numpy"):
            pass
    except (SafetensorError, OSError) as cause:
        raise file.make_error(
            "checkpoint-corrupt", f"does not hold together: {str(cause)[:200]}", hint=_AGAIN
        ) from cause


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("two entries have the same name")  # parsers differ in which one they take
    return dict(pairs)


def _block(file: MappedFile, name: str, entry: _Entry, data: int) -> Block:
    if entry.code not in DTYPES_BY_SAFETENSORS_NAME:
        raise file.make_error(
            "checkpoint-unknown-format",
            f"{name} holds numbers of the kind {entry.code}; known are {', '.join(DTYPES_BY_SAFETENSORS_NAME)}",
        )
    return Block(file.bytes[data + entry.start : data + entry.stop], DTYPES_BY_SAFETENSORS_NAME[entry.code])


def _array(block: Block, shape: tuple[int, ...]) -> NDArray[Any]:
    assert block.dtype is not None
    array = block.dtype.decode(block.raw).reshape(shape)
    return array if array.flags.aligned else np.array(array)
