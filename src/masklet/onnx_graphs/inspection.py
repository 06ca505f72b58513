"""Is this ONNX file safe to hand to a runtime? Read field by field, before any of its contents is used.

A graph may compute, and nothing else: no operators from outside ONNX (they are foreign code), no data in other files
(they may be anybody's), no functions, and no more of anything than a network has.
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

LARGEST = 2 << 30  # bytes; also the most that the format itself can hold
MOST_NODES = 50_000
MOST_CONSTANTS = 50_000
MOST_INPUTS = 1_000  # older files list their constants here too
MOST_SIZES = 32  # of one constant: its dimensions
MOST_PER_BYTE = 2  # numbers of a constant for each byte of it: the smallest have four bits
DEEPEST = 4  # graphs within graphs
_ONNX = ("", "ai.onnx")
_ENDLESS = (b"Loop", b"Scan")
_EXTERNAL = 1  # TensorProto.data_location


def read_onnx(path: Path) -> bytes:
    """The contents of an ONNX file that is safe to load.

    Raises `InputNotFound`, or `CheckpointError`: `onnx-refused` for a graph that does more than compute, or too much;
    `onnx-external-data` for one whose data is elsewhere; `onnx-broken` for what is no ONNX file.
    """
    content = read_limited(path)
    inspect(content, str(path))
    return content


def read_limited(path: Path) -> bytes:
    """The contents of a graph's file, as yet not known to be safe. Raises `InputNotFound`, or `CheckpointError`
    (`onnx-refused`) for one that is too large."""
    with open_input(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST:
            raise CheckpointError("onnx-refused", f"{path}: {size} bytes; a graph may have {LARGEST}")
        return file.read()


def inspect(content: bytes, name: str) -> None:
    """Raise `CheckpointError` unless `content` is safe to load: see `read_onnx`. `name` is what messages call it."""
    try:
        _Inspection(name).model(memoryview(content))
    except CheckpointError:  # which is a ValueError too
        raise
    except (ValueError, UnicodeDecodeError) as cause:
        raise CheckpointError("onnx-broken", f"{name}: not an ONNX file: {cause}") from cause


class _Inspection:
    def __init__(self, name: str) -> None:
        self.name, self.nodes, self.constants = name, 0, 0

    def model(self, message: memoryview) -> None:
        graphs = 0
        for field, value in protobuf.fields(message):
            if field == 7:
                self.graph(_message(value), depth=1)
                graphs += 1
            elif field == 8:
                self._domain(_message(value), field=1)
            elif field in (20, 25):
                self._refuse("it brings functions or training of its own")
        if graphs != 1:
            raise ValueError(f"{graphs} graphs")

    def graph(self, message: memoryview, depth: int) -> None:
        if depth > DEEPEST:
            self._refuse("its graphs are nested too deep")
        inputs = 0
        for field, value in protobuf.fields(message):
            inputs += field == 11
            if field == 1:
                self._node(_message(value), depth)
            elif field == 5:
                self._tensor(_message(value))
            elif field == 15:
                self._refuse("it has sparse tensors")
        if inputs > MOST_INPUTS:
            self._refuse(f"it has over {MOST_INPUTS} inputs")

    def _node(self, message: memoryview, depth: int) -> None:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            self._refuse(f"it has over {MOST_NODES} nodes")
        self._domain(message, field=7)
        for field, value in protobuf.fields(message):
            if field == 4 and bytes(_message(value)) in _ENDLESS:
                self._refuse("it has loops, which need not end")
            elif field == 5:
                self._attribute(_message(value), depth)

    def _attribute(self, message: memoryview, depth: int) -> None:
        for field, value in protobuf.fields(message):
            if field in (5, 10):
                self._tensor(_message(value))
            elif field in (6, 11):
                self.graph(_message(value), depth + 1)
            elif field in (22, 23):
                self._refuse("it has sparse tensors")

    def _tensor(self, message: memoryview) -> None:
        self.constants += 1
        if self.constants > MOST_CONSTANTS:
            self._refuse(f"it has over {MOST_CONSTANTS} constants")
        sizes: list[int] = []
        for field, value in protobuf.fields(message):
            if field == 1:
                sizes += islice(_numbers(value), MOST_SIZES + 1)
                if len(sizes) > MOST_SIZES:
                    raise ValueError(f"a constant of over {MOST_SIZES} dimensions")
            elif field == 13 or (field == 14 and value == _EXTERNAL):
                raise CheckpointError(
                    "onnx-external-data",
                    f"{self.name}: refused: its data is in another file",
                    hint="save the graph with its weights inside",
                )
        count = math.prod(sizes)
        if not 0 <= count <= MOST_PER_BYTE * len(message):
            raise ValueError(f"a constant of {count} numbers in {len(message)} bytes")

    def _domain(self, message: memoryview, field: int) -> None:
        for found, value in protobuf.fields(message):
            if found == field and (domain := bytes(_message(value)).decode()) not in _ONNX:
                self._refuse(f"it needs operators of {domain!r}, which are not ONNX's")

    def _refuse(self, why: str) -> NoReturn:
        raise CheckpointError("onnx-refused", f"{self.name}: refused: {why}", hint="use a graph that masklet exported")


def _numbers(value: protobuf.Value) -> Iterator[int]:
    """One whole number, or several packed into bytes."""
    return iter([value]) if isinstance(value, int) else protobuf.varints(value)


def _message(value: protobuf.Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number in place of a message")
    return value
