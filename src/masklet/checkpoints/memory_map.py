"""A file seen as memory: opened with care, read when looked at, shared by all who look."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from masklet.checkpoints.dtypes import ByteArray
from masklet.errors import CheckpointError, InputNotFound
from masklet.files.open_input import open_input

MAX_FILE_BYTES = 4 << 30  # the largest released checkpoint has 0.9 GB, with the state of its training three times that


@dataclass(frozen=True, slots=True)
class MappedFile:
    """A file of at least one byte. `content` may be written to: the changes stay in this process."""

    path: Path
    content: mmap.mmap

    @property
    def bytes(self) -> ByteArray:
        """The whole content, without a copy."""
        return np.frombuffer(self.content, np.uint8)

    def make_error(self, code: str, message: str, hint: str = "") -> CheckpointError:
        """An error about this file."""
        return CheckpointError(code, f"{self.path}: {message}", hint=hint, path=str(self.path))


def map_file(path: Path) -> MappedFile:
    """The file as memory. It must not be shortened while it is in use.

    Raises `InputNotFound` for what is missing, empty, closed to us or no regular file, and `CheckpointError` for an
    enormous one.
    """
    with open_input(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        if size > MAX_FILE_BYTES:
            raise CheckpointError(
                "checkpoint-bomb", f"{path}: {size} bytes, more than the {MAX_FILE_BYTES} that are read", path=str(path)
            )
        try:
            return MappedFile(path, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_COPY))
        except OSError as cause:
            raise InputNotFound("input-unreadable", f"{path} cannot be mapped: {cause.strerror}") from cause
