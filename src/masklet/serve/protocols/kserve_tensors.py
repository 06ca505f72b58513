"""Tensors of the Open Inference Protocol (KServe v2), as JSON or by its extension for binary data."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError, PromptError
from masklet.files.json_fields import Fields
from masklet.http.json_text import load_json

DATATYPES: Mapping[str, str] = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
BYTES = "BYTES"
_MAX_ELEMENTS = 2**31


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a request or of a response.

    Attributes:
        name: Its name.
        datatype: A name of the protocol, such as FP32 or BYTES.
        values: The values in their shape; of BYTES, an array of `bytes` objects.
    """

    name: str
    datatype: str
    values: NDArray[Any]


def read_tensors(body: Fields, binary: bytes = b"") -> dict[str, Tensor]:
    """Read the inputs of a request by name.

    Args:
        body: The JSON part of the request.
        binary: The bytes behind it, of the tensors with a parameter `binary_data_size`.

    Raises:
        FormatError: `annotation-broken`. A field is missing or has another type.
        PromptError: `bad-prompt`. A tensor does not have as many elements as its shape, or a datatype is unknown.
    """
    tensors: dict[str, Tensor] = {}
    offset = 0
    for entry in body.objects("inputs"):
        name, datatype, shape = entry.text("name"), entry.text("datatype"), entry.integers("shape")
        if datatype not in (*DATATYPES, BYTES):
            raise _error(name, f"datatype {datatype[:20]!r} is unknown; use {', '.join(DATATYPES)} or {BYTES}")
        if any(side < 0 for side in shape) or math.prod(shape) > _MAX_ELEMENTS:
            raise _error(name, f"shape {shape} must have sides of at least 0 and fewer than 2^31 elements")
        parameters = entry.object("parameters") if entry.get("parameters") is not None else Fields({}, "the request")
        if parameters.get("binary_data_size") is not None:
            size = parameters.integer("binary_data_size")
            if not 0 <= size <= len(binary) - offset:
                raise _error(name, f"binary_data_size is {size}, but {len(binary) - offset} bytes are left")
            values = _parse_binary(name, datatype, binary[offset : offset + size], math.prod(shape))
            offset += size
        else:
            values = _parse_json(name, datatype, entry.array("data"))
        if values.size != math.prod(shape):
            raise _error(name, f"shape {shape} needs {math.prod(shape)} elements, got {values.size}")
        tensors[name] = Tensor(name, datatype, values.reshape(shape))
    return tensors


def write_tensors(tensors: Sequence[Tensor], are_binary: Sequence[bool]) -> tuple[list[dict[str, Any]], bytes]:
    """Write the outputs of a response.

    Args:
        tensors: The outputs.
        are_binary: For each whether it is sent as bytes behind the JSON.

    Returns:
        The entries of `outputs`, and the bytes.
    """
    entries, parts = [], []
    for tensor, is_binary in zip(tensors, are_binary, strict=True):
        entry: dict[str, Any] = {
            "name": tensor.name, "datatype": tensor.datatype, "shape": [*tensor.values.shape]
        }  # fmt: skip
        if is_binary:
            parts.append(_write_binary(tensor))
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        elif tensor.datatype == BYTES:
            entry["data"] = [value.decode() for value in tensor.values.ravel()]
        else:
            entry["data"] = tensor.values.ravel().tolist()
        entries.append(entry)
    return entries, b"".join(parts)


def split_body(content: bytes, header: str | None) -> tuple[Fields, bytes]:
    """Split the body of a request into its JSON and the binary data.

    Args:
        content: The body.
        header: The header `Inference-Header-Content-Length`, the bytes of the JSON; None if the body is JSON.

    Raises:
        FormatError: `annotation-broken`. The JSON is broken, or the header is not a length within the body.
    """
    length = len(content)
    if header is not None:
        if not (header.isascii() and header.isdecimal()) or int(header[:12]) > length:
            message = f"Inference-Header-Content-Length must be at most {length}, got {header[:20]!r}"
            raise FormatError("annotation-broken", message)
        length = int(header)
    try:
        value = load_json(content[:length].decode())
    except ValueError:
        raise FormatError("annotation-broken", "the request must be JSON in UTF-8") from None
    return Fields(value, "the request"), content[length:]


def _parse_json(name: str, datatype: str, data: list[Any]) -> NDArray[Any]:
    if datatype == BYTES:
        return _to_objects([_decode(name, value) for value in data])
    try:
        return np.asarray(data, np.dtype(DATATYPES[datatype])).ravel()
    except (TypeError, ValueError, OverflowError):
        raise _error(name, f"data must be numbers of {datatype}, flat or nested by the shape") from None


def _decode(name: str, value: Any) -> bytes:
    try:
        return base64.b64decode(str(value).partition(",")[2] if str(value).startswith("data:") else value)
    except (TypeError, ValueError, binascii.Error):
        raise _error(name, "BYTES in JSON must be base64") from None


def _parse_binary(name: str, datatype: str, data: bytes, count: int) -> NDArray[Any]:
    if datatype != BYTES:
        kind = np.dtype(DATATYPES[datatype])
        if len(data) != count * kind.itemsize:
            raise _error(name, f"{count} elements of {datatype} are {count * kind.itemsize} bytes, got {len(data)}")
        return np.frombuffer(data, kind)
    values, offset = [], 0
    while offset < len(data):
        length = struct.unpack_from("<I", data, offset)[0] if len(data) - offset >= 4 else len(data)
        if length > len(data) - offset - 4:
            raise _error(name, "each element of BYTES must have its length before it, 4 bytes, little-endian")
        values.append(data[offset + 4 : offset + 4 + length])
        offset += 4 + length
    return _to_objects(values)


def _write_binary(tensor: Tensor) -> bytes:
    if tensor.datatype != BYTES:
        return np.ascontiguousarray(tensor.values, DATATYPES[tensor.datatype]).tobytes()
    return b"".join(struct.pack("<I", len(value)) + value for value in tensor.values.ravel())


def _to_objects(values: Sequence[bytes]) -> NDArray[Any]:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _error(name: str, message: str) -> PromptError:
    return PromptError("bad-prompt", f"input {name[:60]!r}: {message}")
