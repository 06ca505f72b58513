"""Memory map of a checkpoint file: a private copy-on-write view of its bytes."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from masklet.checkpoints.dtypes import ByteArray
from masklet.errors import CheckpointError, InputNotFound
from masklet.files.open_input import open_input

MAX_FILE_BYTES = 4 << 30  # the largest released checkpoint has 0.9 GB, and 2.7 GB with its optimizer state


@dataclass(frozen=True, slots=True)
class MappedFile:
    """A memory-mapped file of at least one byte. Changes of `content` stay in this process."""

    path: Path
    content: mmap.mmap

    @property
    def bytes(self) -> ByteArray:
        """The whole content as an array, without a copy."""
        return np.frombuffer(self.content, np.uint8)

    def make_error(self, code: str, message: str, hint: str = "") -> CheckpointError:
        """Make an error whose message begins with the path of this file."""
        return CheckpointError(code, f"{self.path}: {message}", hint=hint, path=str(self.path))


def map_file(path: Path) -> MappedFile:
    """Map a file into memory. It must not be truncated while it is in use.

    Raises:
        InputNotFound: The file is missing, empty, unreadable or not a regular file.
        CheckpointError: `checkpoint-bomb`. It has more than `MAX_FILE_BYTES`.
    """
    with open_input(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        if size > MAX_FILE_BYTES:
            message = f"{path} has {size} bytes; at most {MAX_FILE_BYTES} are read"
            raise CheckpointError("checkpoint-bomb", message, path=str(path))
        try:
            return MappedFile(path, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_COPY))
        except OSError as cause:
            message = f"{path} cannot be mapped into memory: {cause.strerror}"
            raise InputNotFound("input-unreadable", message, path=str(path)) from cause
