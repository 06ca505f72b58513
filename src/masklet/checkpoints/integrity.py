"""Are the bytes those that were written, and are the numbers finite? Every core looks at once."""

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

_CHUNK = 1 << 20  # bytes looked at in turn: they stay in the cache between the two looks
_BATCH = 8  # blocks for one worker at a time: thousands of small ones are no thousands of errands
_WORKERS = min(8, os.cpu_count() or 1)  # checksums and sums run side by side; more wait for the memory


class Block(NamedTuple):
    """A stretch of a file: its bytes, what numbers they are (if any of interest), and the CRC-32 they should have."""

    raw: ByteArray
    dtype: Dtype | None = None
    crc: int | None = None


class BlockCheck(NamedTuple):
    """What is known about a block. Not `surely_finite` says no more than that someone must look closer."""

    is_intact: bool
    is_finite: bool


def check_blocks(blocks: Mapping[str, Block]) -> dict[str, BlockCheck]:
    """A finding for every block."""
    waiting = list(blocks.values())
    batches = [waiting[start : start + _BATCH] for start in range(0, len(waiting), _BATCH)]
    with ThreadPoolExecutor(_WORKERS) as pool:
        inspected = [finding for findings in pool.map(_inspected, batches) for finding in findings]
    return dict(zip(blocks, inspected, strict=True))


def require_finite(file: MappedFile, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Raises `CheckpointError` if an entry is NaN or infinite, decided exactly."""
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise file.make_error(
                "non-finite-weights",
                f"{name} holds NaN or infinity ({int((~np.isfinite(tensor)).sum())} of {tensor.size} numbers)",
                hint="a training that diverged writes such a file; take an earlier one",
            )


def _inspected(blocks: Sequence[Block]) -> list[BlockCheck]:
    with np.errstate(over="ignore", invalid="ignore"):
        return [_finding(block) for block in blocks]


def _finding(block: Block) -> BlockCheck:
    crc, total = 0, 0.0
    for start in range(0, len(block.raw), _CHUNK):
        chunk = block.raw[start : start + _CHUNK]
        if block.crc is not None:
            crc = zlib.crc32(chunk.data, crc)
        if block.dtype is not None and block.dtype.is_floating:
            total += _sum(chunk, block.dtype)
    return BlockCheck(block.crc in (None, crc), math.isfinite(total))


def _sum(chunk: ByteArray, numbers: Dtype) -> float:
    """A sum that is finite only if all its terms are: NaN and infinity never leave a sum again."""
    values = numbers.decode(chunk)
    return float(values.sum(dtype=np.float32 if values.itemsize < 4 else None))
