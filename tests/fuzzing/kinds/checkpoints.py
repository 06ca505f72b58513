"""Checkpoints: safetensors files, PyTorch archives, and the pickles in them with a valid checksum."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from fuzzing.mutation import mutate_bytes, mutate_safetensors
from fuzzing.target import Target, require
from masklet.checkpoints import read_tensors, write_released, write_tensors
from masklet.errors import CheckpointError, InputNotFound
from support.hostile_checkpoints import make_checkpoint, pickle_weights

TENSORS = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.ones(5, np.float16)}


def _check_safetensors(path: Path) -> None:
    found = read_tensors(path)
    size = path.stat().st_size
    require(sum(tensor.nbytes for tensor in found.values()) <= 2 * size, "more data than the file has")  # bfloat16
    require(all(np.isfinite(tensor).all() for tensor in found.values()), "a value is not finite")


def _check_archive(path: Path) -> None:
    """A PyTorch file has checksums, so it is read as it was written."""
    found = read_tensors(path)
    require(found.keys() == TENSORS.keys(), f"the names are {[*found]}")
    for name, tensor in TENSORS.items():
        require(found[name].dtype == tensor.dtype and np.array_equal(found[name], tensor), f"{name} has other values")


def _check_pickle(path: Path) -> None:
    found = read_tensors(path)
    require(all(tensor.size <= 12 for tensor in found.values()), "a tensor is larger than its storage")


def _mutate_pickle(content: bytes, rng: Random) -> bytes:
    """Mutate the pickle in a checkpoint; the content of the other members is that of the seeds."""
    return make_checkpoint(mutate_bytes(pickle_weights(), rng))


@contextmanager
def open_targets(folder: Path) -> Iterator[list[Target]]:
    """Open the targets."""
    for name in ("raw_unicode_escape", "utf_16", "utf_16_le", "utf_16_be", "utf_32", "utf_32_le", "utf_32_be"):
        codecs.lookup(name)  # Python imports a codec at its first use
    write_tensors(folder / "a.safetensors", TENSORS)
    write_released(folder / "a.pt", TENSORS)
    path, errors = folder / "checkpoint", (CheckpointError, InputNotFound)
    seeds = {
        "safetensors": (folder / "a.safetensors").read_bytes(),
        "torch": (folder / "a.pt").read_bytes(),
        "pickle": make_checkpoint(pickle_weights()),
    }
    checks = {"safetensors": _check_safetensors, "torch": _check_archive, "pickle": _check_pickle}
    mutations = {"safetensors": mutate_safetensors, "torch": mutate_bytes, "pickle": _mutate_pickle}
    yield [
        Target(name, path, [seed], partial(checks[name], path), mutations[name], errors, is_quiet=True)
        for name, seed in seeds.items()
    ]
