"""Hashes of contents and of files: SHA-256, in hexadecimal digits."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from masklet.files.open_input import open_input

_PIECE_BYTES = 1 << 20
_SAMPLES = 64  # per file, spread over it evenly, the first and the last bytes among them
_SAMPLE_BYTES = 1 << 16


def sha256(content: bytes | bytearray | memoryview) -> str:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file. Raises `InputNotFound`."""
    digest = hashlib.sha256()
    with open_input(path) as handle:
        while piece := handle.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def sha256_of_samples(path: Path) -> str:
    """Return the SHA-256 of a file's size and of 64 samples of it, so that a film takes no longer than a clip.

    It tells whether a file is the one of last time, not whether it is intact. Raises `InputNotFound`.
    """
    with open_input(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        digest = hashlib.sha256(str(size).encode())
        for sample in range(_SAMPLES):
            handle.seek(max(0, size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
            digest.update(handle.read(_SAMPLE_BYTES))
            if size <= _SAMPLE_BYTES:
                break
    return digest.hexdigest()
