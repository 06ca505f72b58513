"""Integrity checks of checkpoint data: CRC-32 checksums and finite values, on all cores."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.checkpoints.dtypes import ByteArray, Dtype
from masklet.checkpoints.memory_map import MappedFile

_CHUNK_BYTES = 1 << 20  # stays in the CPU cache between the checksum and the sum
_BLOCKS_PER_TASK = 8  # bounds the scheduling cost of thousands of small blocks
_MAX_WORKERS = min(8, os.cpu_count() or 1)  # more are limited by the memory bandwidth


class Block(NamedTuple):
    """A range of a file.

    Attributes:
        raw: Its bytes.
        dtype: The dtype of its values, or None if they need no check.
        crc: The CRC-32 that the file states, or None if it states none.
    """

    raw: ByteArray
    dtype: Dtype | None = None
    crc: int | None = None


class BlockCheck(NamedTuple):
    """The result of checking a block.

    Attributes:
        is_intact: Whether the checksum matches. True if the file states none.
        is_finite: Whether the sum of the values is finite, which proves that all are. Finite values can overflow the
            sum, so a block without a finite sum needs the exact check of `require_finite`.
    """

    is_intact: bool
    is_finite: bool


def check_blocks(blocks: Mapping[str, Block]) -> dict[str, BlockCheck]:
    """Check the checksums and sums of all blocks in parallel. Returns the results under the same names."""
    pending = list(blocks.values())
    tasks = [pending[start : start + _BLOCKS_PER_TASK] for start in range(0, len(pending), _BLOCKS_PER_TASK)]
    with ThreadPoolExecutor(_MAX_WORKERS) as pool:
        results = [result for results in pool.map(_check_sequentially, tasks) for result in results]
    return dict(zip(blocks, results, strict=True))


def require_finite(file: MappedFile, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Raise `CheckpointError` (`non-finite-weights`) if any value is NaN or infinite."""
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            count = int((~np.isfinite(tensor)).sum())
            raise file.make_error(
                "non-finite-weights",
                f"{count} of {tensor.size} values of {name} are NaN or infinite",
                hint="the training diverged; use an earlier checkpoint",
            )


def _check_sequentially(blocks: Sequence[Block]) -> list[BlockCheck]:
    with np.errstate(over="ignore", invalid="ignore"):
        return [_check_block(block) for block in blocks]


def _check_block(block: Block) -> BlockCheck:
    crc, total = 0, 0.0
    for start in range(0, len(block.raw), _CHUNK_BYTES):
        chunk = block.raw[start : start + _CHUNK_BYTES]
        if block.crc is not None:
            crc = zlib.crc32(chunk.data, crc)
        if block.dtype is not None and block.dtype.is_floating:
            total += _sum(chunk, block.dtype)
    return BlockCheck(block.crc in (None, crc), math.isfinite(total))


def _sum(chunk: ByteArray, dtype: Dtype) -> float:
    """Sum the values. A NaN or an infinity makes the sum NaN or infinite."""
    values = dtype.decode(chunk)
    return float(values.sum(dtype=np.float32 if values.itemsize < 4 else None))
