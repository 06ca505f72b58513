"""Atomic writing of checkpoints: safetensors, and the layout of the released `.pt` files."""

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

from masklet.checkpoints.checksum import CHECKSUM_KEY, compute_checksum
from masklet.checkpoints.dtypes import DTYPES, DTYPES_BY_NAME
from masklet.files.atomic import atomic_write

_METADATA = {"format": "pt"}  # the transformers library requires it

_ALIGNMENT_BYTES = 64  # of the data in a file, so that a memory map can be used as an array
_SAFETENSORS_NAMES = {dtype.name: dtype.safetensors_name for dtype in DTYPES} | {"uint16": "U16"}
_LOCAL_HEADER_BYTES = 30  # in front of the name of a ZIP archive's member


def write_tensors(
    path: Path,
    tensors: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str] = _METADATA,
    *,
    with_checksum: bool = False,
) -> None:
    """Write a safetensors file.

    Args:
        path: The file, which is written atomically.
        tensors: The arrays by name.
        metadata: The texts in the file's header.
        with_checksum: Add the checksum of the content to the metadata.

    Raises:
        ResourceError: The file cannot be written.
    """
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))  # keeps all aligned
    stream_tensors(path, lambda: ordered, metadata, with_checksum=with_checksum)


def stream_tensors(
    path: Path,
    arrays: Callable[[], Iterable[tuple[str, NDArray[Any]]]],
    metadata: Mapping[str, str],
    *,
    with_checksum: bool = False,
) -> None:
    """Write a safetensors file array by array, in the given order.

    Args:
        path: The file, which is written atomically.
        arrays: Returns the named arrays. It is called for the header, for the contents, and for the checksum, so arrays
            that are made on demand need not be in memory together.
        metadata: The texts in the file's header.
        with_checksum: Add the checksum of the content to the metadata.

    Raises:
        ResourceError: The file cannot be written.
    """
    checksum = {CHECKSUM_KEY: compute_checksum(metadata, arrays())} if with_checksum else {}
    header: dict[str, Any] = {"__metadata__": {**metadata, **checksum}}
    stop = 0
    for name, array in arrays():
        start, stop = stop, stop + array.nbytes
        dtype_name = _SAFETENSORS_NAMES[array.dtype.name]
        header[name] = {"dtype": dtype_name, "shape": array.shape, "data_offsets": [start, stop]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT_BYTES)
    with atomic_write(path) as handle:
        handle.write(len(text).to_bytes(8, "little") + text)
        for _, array in arrays():
            handle.write(_encode(array))


def write_released(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write a `.pt` file like the released ones: `{"model": OrderedDict}` for `torch.load(path, weights_only=True)`.

    The same arrays give the same bytes.

    Args:
        path: The file, which is written atomically.
        tensors: The arrays by name, in the order of the state dict.

    Raises:
        ResourceError: The file cannot be written.
    """
    with atomic_write(path) as handle, zipfile.ZipFile(handle, "w") as archive:
        _store_member(handle, archive, "data.pkl", b"".join(_pickle(tensors)))
        _store_member(handle, archive, "byteorder", b"little")
        for key, array in enumerate(tensors.values()):
            _store_member(handle, archive, f"data/{key}", _encode(array))
        _store_member(handle, archive, "version", b"3\n")


def _encode(array: NDArray[Any]) -> memoryview:
    """Return the bytes of an array in C order, little-endian."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data


def _store_member(handle: BinaryIO, archive: zipfile.ZipFile, name: str, content: bytes | memoryview) -> None:
    """Add a member without compression, padded so that its content is aligned."""
    info = zipfile.ZipInfo(f"archive/{name}")
    start = handle.tell() + _LOCAL_HEADER_BYTES + len(info.filename) + 4
    padding = -start % _ALIGNMENT_BYTES
    info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
    archive.writestr(info, content)


def _pickle(tensors: Mapping[str, NDArray[Any]]) -> Iterator[bytes]:
    """Pickle `{"model": OrderedDict(tensors)}` with the instructions that PyTorch uses, protocol 2."""
    ordered_dict = b"ccollections\nOrderedDict\n)R"
    yield b"\x80\x02}" + _pickle_text("model") + ordered_dict + b"("
    for key, (name, array) in enumerate(tensors.items()):
        module, storage = DTYPES_BY_NAME[array.dtype.name].torch_storage.split(".")
        yield _pickle_text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n("
        yield b"(" + _pickle_text("storage") + f"c{module}\n{storage}\n".encode()
        yield _pickle_text(str(key)) + _pickle_text("cpu")
        yield _pickle_integer(array.size) + b"tQ" + _pickle_integer(0)
        yield _pickle_tuple(array.shape) + _pickle_tuple(_compute_strides(array.shape))
        yield b"\x89" + ordered_dict + b"tR"
    yield b"us."


def _compute_strides(shape: tuple[int, ...]) -> list[int]:
    """Compute the strides of a contiguous array, in values. PyTorch counts an empty side as one."""
    return [math.prod(max(side, 1) for side in shape[k + 1 :]) for k in range(len(shape))]


def _pickle_text(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _pickle_integer(number: int) -> bytes:
    return b"J" + struct.pack("<i", number) if number < 1 << 31 else b"\x8a\x08" + struct.pack("<q", number)


def _pickle_tuple(numbers: Iterable[int]) -> bytes:
    return b"(" + b"".join(map(_pickle_integer, numbers)) + b"t"
