"""Checksum of a safetensors file's content, stored in its metadata, which detects damage that keeps the file valid."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHECKSUM_KEY = "sha256"  # of the metadata


def compute_checksum(metadata: Mapping[str, str], tensors: Iterable[tuple[str, NDArray[Any]]]) -> str:
    """Compute the SHA-256 of metadata and tensors: their names, dtypes, shapes and values, in any order.

    The metadata may already have a checksum, which does not count.
    """
    parts = [f"{key}={value}" for key, value in metadata.items() if key != CHECKSUM_KEY]
    for name, array in tensors:
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest = hashlib.sha256(little.reshape(-1).view(np.uint8).data).hexdigest()
        parts.append(f"{name} {array.dtype.name} {list(array.shape)} {digest}")
    return hashlib.sha256("\n".join(sorted(parts)).encode("utf-8", "surrogatepass")).hexdigest()
