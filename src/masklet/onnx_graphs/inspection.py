"""Inspection of ONNX files before a runtime loads them, field by field. A file is untrusted input.

A graph may only compute. Operators from outside ONNX (foreign code), data in other files (any file of the user),
functions and loops are refused, and the numbers of nodes, constants and dimensions are limited.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NoReturn

from masklet.errors import CheckpointError
from masklet.files.open_input import open_input
from masklet.onnx_graphs import protobuf

MAX_BYTES = 2 << 30  # also the limit of the format
MAX_NODES = 50_000
MAX_CONSTANTS = 50_000
MAX_INPUTS = 1_000  # older files list their constants as inputs
MAX_DIMENSIONS = 32  # of one constant
MAX_VALUES_PER_BYTE = 2  # of a constant: the smallest values have 4 bits
MAX_DEPTH = 4  # of nested graphs
_ONNX_DOMAINS = ("", "ai.onnx")
_LOOPS = (b"Loop", b"Scan")
_NORMALIZATION = b"Normalization"
_EXTERNAL = 1  # TensorProto.data_location


def read_onnx(path: Path) -> bytes:
    """Read an ONNX file that is safe to load.

    Raises:
        InputNotFound: The file is missing.
        CheckpointError: The graph does more than compute, or exceeds a limit (`onnx-refused`); its data is in another
            file (`onnx-external-data`); the file is not an ONNX file (`onnx-broken`).
    """
    content = read_limited(path)
    inspect(content, str(path))
    return content


def read_limited(path: Path) -> bytes:
    """Read a graph's file without inspection. Raises `InputNotFound`, or `CheckpointError` for one over the limit."""
    with open_input(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise CheckpointError("onnx-refused", f"{path}: {size} bytes; the limit of a graph is {MAX_BYTES}")
        return file.read()


def inspect(content: bytes, name: str) -> None:
    """Check that `content` is safe to load. Raises `CheckpointError` like `read_onnx`; `name` appears in messages."""
    try:
        _Inspector(name).check_model(memoryview(content))
    except CheckpointError:  # a subclass of ValueError
        raise
    except (ValueError, UnicodeDecodeError) as cause:
        raise CheckpointError("onnx-broken", f"{name}: not an ONNX file: {cause}") from cause


class _Inspector:
    """The checks of one file, with counts of its nodes and constants."""

    def __init__(self, name: str) -> None:
        self.name, self.nodes, self.constants = name, 0, 0

    def check_model(self, message: memoryview) -> None:
        graphs = 0
        for field, value in protobuf.iter_fields(message):
            if field == 7:
                self._check_graph(_as_message(value), depth=1)
                graphs += 1
            elif field == 8:
                self._check_domain(_as_message(value), field=1)
            elif field in (20, 25):
                self._refuse("it has functions or training graphs")
        if graphs != 1:
            raise ValueError(f"it has {graphs} graphs")

    def _check_graph(self, message: memoryview, depth: int) -> None:
        if depth > MAX_DEPTH:
            self._refuse(f"its graphs are nested over {MAX_DEPTH} deep")
        inputs = 0
        for field, value in protobuf.iter_fields(message):
            inputs += field == 11
            if field == 1:
                self._check_node(_as_message(value), depth)
            elif field == 5:
                self._check_tensor(_as_message(value))
            elif field == 15:
                self._refuse("it has sparse tensors")
        if inputs > MAX_INPUTS:
            self._refuse(f"it has more than {MAX_INPUTS} inputs")

    def _check_node(self, message: memoryview, depth: int) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._refuse(f"it has more than {MAX_NODES} nodes")
        self._check_domain(message, field=7)
        operator, has_unnamed_input = b"", False
        for field, value in protobuf.iter_fields(message):
            if field == 1:
                has_unnamed_input = has_unnamed_input or not len(_as_message(value))
            elif field == 4:
                operator = bytes(_as_message(value))
            elif field == 5:
                self._check_attribute(_as_message(value), depth)
        if operator in _LOOPS:
            self._refuse("it has loops, which may not end")
        if has_unnamed_input and operator.endswith(_NORMALIZATION):
            self._refuse("a normalization has an input without a name, at which onnxruntime 1.32 crashes")

    def _check_attribute(self, message: memoryview, depth: int) -> None:
        for field, value in protobuf.iter_fields(message):
            if field in (5, 10):
                self._check_tensor(_as_message(value))
            elif field in (6, 11):
                self._check_graph(_as_message(value), depth + 1)
            elif field in (22, 23):
                self._refuse("it has sparse tensors")

    def _check_tensor(self, message: memoryview) -> None:
        self.constants += 1
        if self.constants > MAX_CONSTANTS:
            self._refuse(f"it has more than {MAX_CONSTANTS} constants")
        sizes: list[int] = []
        for field, value in protobuf.iter_fields(message):
            if field == 1:
                sizes += islice(_iter_ints(value), MAX_DIMENSIONS + 1)
                if len(sizes) > MAX_DIMENSIONS:
                    raise ValueError(f"a constant has more than {MAX_DIMENSIONS} dimensions")
            elif field == 13 or (field == 14 and value == _EXTERNAL):
                raise CheckpointError(
                    "onnx-external-data",
                    f"{self.name}: refused: its data is in another file",
                    hint="save the graph with its weights in the same file",
                )
        count = math.prod(sizes)
        if not 0 <= count <= MAX_VALUES_PER_BYTE * len(message):
            raise ValueError(f"a constant claims {count} values in {len(message)} bytes")

    def _check_domain(self, message: memoryview, field: int) -> None:
        for number, value in protobuf.iter_fields(message):
            if number == field and (domain := bytes(_as_message(value)).decode()) not in _ONNX_DOMAINS:
                self._refuse(f"it has operators of {domain!r}, which are not part of ONNX")

    def _refuse(self, reason: str) -> NoReturn:
        raise CheckpointError(
            "onnx-refused", f"{self.name}: refused: {reason}", hint="use a graph that masklet exported"
        )


def _iter_ints(value: protobuf.Value) -> Iterator[int]:
    """Iterate over one integer, or several packed in bytes."""
    return iter([value]) if isinstance(value, int) else protobuf.iter_varints(value)


def _as_message(value: protobuf.Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a field is an integer, not a message")
    return value
