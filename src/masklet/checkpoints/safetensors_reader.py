"""Safetensors reading: the library validates the JSON header, and the tensors are views of the memory map."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from masklet.checkpoints.dtypes import DTYPES_BY_SAFETENSORS_NAME, ByteArray, Dtype
from masklet.checkpoints.file_content import FileContent
from masklet.checkpoints.integrity import Block, check_blocks, require_finite
from masklet.checkpoints.memory_map import MappedFile

_MAX_HEADER_BYTES = 16 << 20  # the header of the largest released model has 0.1 MB
_LENGTH_BYTES = 8  # of the number in front of the header that states its length
_DOWNLOAD_AGAIN = "download it again"


def read_safetensors(file: MappedFile) -> FileContent:
    """Read a safetensors file.

    Raises:
        CheckpointError: The file is truncated, inconsistent, too large, or contains NaN or infinity.
    """
    header_size = _read_header_size(file)
    entries, metadata = _read_header(file, header_size)
    data_start = _LENGTH_BYTES + header_size
    _check_length(file, data_start + max((entry.stop for entry in entries.values()), default=0))
    _validate_with_library(file)
    dtypes = {name: _find_dtype(file, name, entry) for name, entry in entries.items()}
    raw = {name: file.bytes[data_start + entry.start : data_start + entry.stop] for name, entry in entries.items()}
    checks = check_blocks({name: Block(raw[name], dtypes[name]) for name in entries})
    tensors = {name: _view(file, name, raw[name], dtypes[name], entry.shape) for name, entry in entries.items()}
    require_finite(file, {name: tensors[name] for name, check in checks.items() if not check.is_finite})
    return FileContent(tensors, dtypes, metadata=metadata)


class _Entry(NamedTuple):
    """A tensor in the header. `start` and `stop` are byte offsets after the header."""

    dtype_name: str
    shape: tuple[int, ...]
    start: int
    stop: int


def _read_header_size(file: MappedFile) -> int:
    size = int.from_bytes(file.content[:_LENGTH_BYTES], "little")
    if size > _MAX_HEADER_BYTES:
        message = f"the header claims {size} bytes; at most {_MAX_HEADER_BYTES} are read"
        raise file.make_error("checkpoint-bomb", message)
    if _LENGTH_BYTES + size > len(file.content):
        message = f"the file ends inside the header, at byte {len(file.content)}"
        raise file.make_error("checkpoint-truncated", message, hint=_DOWNLOAD_AGAIN)
    return size


def _read_header(file: MappedFile, size: int) -> tuple[dict[str, _Entry], dict[str, str]]:
    """Read the entries of the tensors, and the metadata."""
    text = file.content[_LENGTH_BYTES : _LENGTH_BYTES + size]
    try:
        entries: dict[str, Any] = json.loads(text, object_pairs_hook=_refuse_duplicates)
        metadata = entries.pop("__metadata__", None)
        texts = {name: str(text) for name, text in metadata.items()} if isinstance(metadata, dict) else {}
        return {name: _parse_entry(name, entry) for name, entry in entries.items()}, texts
    except (ValueError, RecursionError) as cause:
        message = f"the header is broken: {str(cause)[:200]}"
        raise file.make_error("checkpoint-corrupt", message, hint=_DOWNLOAD_AGAIN) from cause


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("two entries have the same name")  # which one counts depends on the parser
    return dict(pairs)


def _parse_entry(name: str, entry: object) -> _Entry:
    match entry:
        case {"dtype": str(dtype_name), "shape": list(shape), "data_offsets": [int(start), int(stop)]}:
            return _Entry(dtype_name, tuple(shape), start, stop)
        case _:
            raise ValueError(f"the entry {name!r} lacks a valid dtype, shape or data_offsets")


def _check_length(file: MappedFile, expected: int) -> None:
    if expected > len(file.content):
        message = f"the file has {len(file.content)} of {expected} bytes"
        raise file.make_error("checkpoint-truncated", message, hint=_DOWNLOAD_AGAIN)


def _validate_with_library(file: MappedFile) -> None:
    """Let the library check the header: known dtypes, no overlaps, no holes, and the length of the file."""
    try:
        with safe_open(str(file.path), framework="numpy"):
            pass
    except (SafetensorError, OSError) as cause:
        message = f"the file is inconsistent: {str(cause)[:200]}"
        raise file.make_error("checkpoint-corrupt", message, hint=_DOWNLOAD_AGAIN) from cause


def _find_dtype(file: MappedFile, name: str, entry: _Entry) -> Dtype:
    if entry.dtype_name not in DTYPES_BY_SAFETENSORS_NAME:
        supported = ", ".join(DTYPES_BY_SAFETENSORS_NAME)
        message = f"{name} has the dtype {entry.dtype_name}; supported are {supported}"
        raise file.make_error("checkpoint-unknown-format", message)
    return DTYPES_BY_SAFETENSORS_NAME[entry.dtype_name]


def _view(file: MappedFile, name: str, raw: ByteArray, dtype: Dtype, shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        array = dtype.decode(raw).reshape(shape)
    except ValueError as cause:  # over 64 dimensions, or sides whose product overflows beside a side of 0
        message = f"{name} of shape {str(shape)[:80]} is impossible: {cause}"
        raise file.make_error("checkpoint-corrupt", message, hint=_DOWNLOAD_AGAIN) from cause
    return array if array.flags.aligned else np.array(array)
