"""SHA-256 of bytes and of files, and Git's hash of files, in hexadecimal digits."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from masklet.files.open_input import open_input

_CHUNK_BYTES = 1 << 20
_SAMPLES = 64  # per file, evenly spaced, including its first and last bytes
_SAMPLE_BYTES = 1 << 16


def sha256(content: bytes | bytearray | memoryview) -> str:
    """Compute the SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Compute the SHA-256 of a file. Raises `InputNotFound`."""
    digest = hashlib.sha256()
    with open_input(path) as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def git_blob_hash_of_file(path: Path) -> str:
    """Compute Git's hash of a file's content, as `git hash-object` prints it. Raises `InputNotFound`."""
    with open_input(path) as handle:
        digest = hashlib.sha1(f"blob {os.fstat(handle.fileno()).st_size}\0".encode(), usedforsecurity=False)
        while chunk := handle.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_samples(path: Path) -> str:
    """Compute the SHA-256 of a file's size and of 64 samples of 64 KiB, at most 4 MiB of any file.

    It recognizes a file that was hashed before, and does not detect every change of its content.

    Raises:
        InputNotFound: The file is missing, empty or unreadable.
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
