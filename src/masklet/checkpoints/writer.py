"""Writes checkpoints, whole or not at all: safetensors, and the layout of the released `.pt` files."""

from __future__ import annotations

import json
import math
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from masklet.checkpoints.dtypes import DTYPES, DTYPES_BY_NAME, Dtype
from masklet.files.atomic import atomic_write

_ALIGNMENT_BYTES = 64  # bytes: where the numbers of a file begin, so that they can be used where they are mapped
METADATA = {"format": "pt"}  # without it the transformers library refuses a file

_CODES = {known.name: known.safetensors_name for known in DTYPES} | {"uint16": "U16"}
_HEADER = 30  # bytes before the name of a ZIP archive's member


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] = METADATA) -> None:
    """A safetensors file with these arrays and a table of texts. Raises `ResourceError` where it cannot be written."""
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))  # keeps all aligned
    stream_tensors(path, lambda: ordered, metadata)


def stream_tensors(
    path: Path, arrays: Callable[[], Iterable[tuple[str, NDArray[Any]]]], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file array by array, in the order given.

    Args:
        path: The file. It appears whole or not at all.
        arrays: Gives the named arrays. It is called twice, for the table and for the contents, so that arrays that are
            made on the way need not be in memory together.
        metadata: The texts in the file's header.

    Raises:
        ResourceError: The file cannot be written.
    """
    table: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, value in arrays():
        start, end = end, end + value.nbytes
        table[name] = {"dtype": _CODES[value.dtype.name], "shape": value.shape, "data_offsets": [start, end]}
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT_BYTES)
    with atomic_write(path) as handle:
        handle.write(len(text).to_bytes(8, "little") + text)
        for _, value in arrays():
            handle.write(_bytes(value))


def write_released(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """A `.pt` file laid out as the released ones, `{"model": OrderedDict}`, for `torch.load(path, weights_only=True)`.

    Raises `ResourceError` where it cannot be written. The same arrays give the same bytes.
    """
    with atomic_write(path) as handle, zipfile.ZipFile(handle, "w") as archive:
        _store(handle, archive, "data.pkl", b"".join(_pickle(tensors)))
        _store(handle, archive, "byteorder", b"little")
        for key, value in enumerate(tensors.values()):
            _store(handle, archive, f"data/{key}", _bytes(value))
        _store(handle, archive, "version", b"3\n")


def _numbers(value: NDArray[Any]) -> Dtype:
    return DTYPES_BY_NAME[value.dtype.name]


def _bytes(value: NDArray[Any]) -> memoryview:
    little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data


def _store(handle: BinaryIO, archive: zipfile.ZipFile, name: str, content: bytes | memoryview) -> None:
    """One member, padded so that its content is aligned."""
    info = zipfile.ZipInfo(f"archive/{name}")
    begin = handle.tell() + _HEADER + len(info.filename) + 4
    padding = -begin % _ALIGNMENT_BYTES
    info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
    archive.writestr(info, content)


def _pickle(tensors: Mapping[str, NDArray[Any]]) -> Iterator[bytes]:
    """`{"model": OrderedDict(tensors)}` in the pickle instructions that PyTorch uses, version 2."""
    ordered_dict = b"ccollections\nOrderedDict\n)R"
    yield b"\x80\x02}" + _text("model") + ordered_dict + b"("
    for key, (name, value) in enumerate(tensors.items()):
        module, storage = _numbers(value).torch_storage.split(".")
        yield _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n("
        yield b"(" + _text("storage") + f"c{module}\n{storage}\n".encode() + _text(str(key)) + _text("cpu")
        yield _integer(value.size) + b"tQ" + _integer(0)
        yield _tuple(value.shape) + _tuple(_strides(value.shape))
        yield b"\x89" + ordered_dict + b"tR"
    yield b"us."


def _strides(shape: tuple[int, ...]) -> list[int]:
    """Of an array without gaps, in numbers. PyTorch counts an empty side as one."""
    return [math.prod(max(side, 1) for side in shape[k + 1 :]) for k in range(len(shape))]


def _text(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _integer(number: int) -> bytes:
    return b"J" + struct.pack("<i", number) if number < 1 << 31 else b"\x8a\x08" + struct.pack("<q", number)


def _tuple(numbers: Any) -> bytes:
    return b"(" + b"".join(map(_integer, numbers)) + b"t"
