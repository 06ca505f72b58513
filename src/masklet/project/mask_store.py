"""Mask store: the masks of an image or video in an append-only file of RLE lines."""

from __future__ import annotations

import json
import re
import threading
from array import array
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.files.error_translation import translate_errors
from masklet.masks import rle
from masklet.project.append_file import AppendFile
from masklet.project.cells import EMPTY_MASK

_AREA = re.compile(rb'^\{"mask": \d+, "area": (\d+), ', re.MULTILINE)
_BLOCK_LINES = 10_000


class MaskStore:
    """Masks of an image or video by number. Mask 0 is empty. Threads may share a store.

    Args:
        path: The file, which is made by the first `add`.
        size: Size (H, W) of the masks.

    Raises:
        InputNotFound: The file cannot be read.
    """

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self.path, self.size = path, size
        self._lock = threading.RLock()
        self._file = AppendFile(path)
        self._areas: array[int] | None = None  # by number, read when they are first needed

    def __len__(self) -> int:
        return len(self._file)

    def add(self, mask: NDArray[np.bool_]) -> int:
        """Add a mask (H, W) and return its number, which is on the disk after `sync`.

        Raises:
            PromptError: `mask-shape`. The mask has another shape.
            ResourceError: The file cannot be written.
        """
        return self.add_counts(rle.encode(mask)["counts"])

    def add_counts(self, counts: str) -> int:
        """Add a mask, given as `counts` of COCO's compressed RLE, and return its number.

        Raises:
            FormatError: `bad-rle`. The RLE is malformed or of another size.
            ResourceError: The file cannot be written.
        """
        area = rle.compute_area({"size": self.size, "counts": counts})
        with self._lock:
            if not len(self._file):
                empty = rle.encode(np.zeros(self.size, bool))["counts"]
                self._append(empty, 0)
            return self._append(counts, area) if area else EMPTY_MASK

    def sync(self) -> None:
        """Return when all masks are on the disk. Raises `ResourceError`."""
        with self._lock:
            self._file.sync()

    def read(self, number: int) -> NDArray[np.bool_]:
        """Read a mask (H, W). Raises `FormatError` (`project-broken`)."""
        if number == EMPTY_MASK:
            return np.zeros(self.size, bool)
        with self._name_errors(number):
            return rle.decode({"size": self.size, "counts": self.read_counts(number)})

    def read_counts(self, number: int) -> str:
        """Read a mask as `counts` of COCO's compressed RLE. Raises `FormatError` (`project-broken`)."""
        if number == EMPTY_MASK:
            return str(rle.encode(np.zeros(self.size, bool))["counts"])
        with self._lock:
            if not 0 <= number < len(self._file):
                raise self._error(number, f"the file has {len(self._file)} masks")
            line = self._file.read(number)
        try:
            record: dict[str, Any] = json.loads(line)
            counts = record["counts"]
            if record["mask"] != number or not isinstance(counts, str):
                raise ValueError("the line is of another mask")
            return counts
        except (ValueError, KeyError, TypeError, RecursionError) as cause:
            raise self._error(number, str(cause)) from cause

    def areas(self) -> NDArray[np.int64]:
        """Return the areas of all masks by number, in pixels. Raises `FormatError` (`project-broken`)."""
        with self._lock:
            if self._areas is None:
                blocks = self._file.read_blocks(_BLOCK_LINES)
                self._areas = array("q", (area for first, block in blocks for area in self._read_areas(first, block)))
            return np.array(self._areas, np.int64)

    def _append(self, counts: str, area: int) -> int:
        line = json.dumps({"mask": len(self._file), "area": area, "counts": counts})
        number = self._file.append(line.encode(), sync=False)
        if self._areas is not None:
            self._areas.append(area)
        return number

    def _read_areas(self, first: int, block: bytes) -> list[int]:
        """Return the areas of a block of lines. Lines without an area are decoded."""
        areas = [int(area) for area in _AREA.findall(block)]
        count = block.count(b"\n")
        pixels = self.size[0] * self.size[1]
        if any(area > pixels for area in areas):
            raise self._error(first, f"a mask has more than {pixels} pixels")
        if len(areas) == count:
            return areas
        codes = ({"size": self.size, "counts": self.read_counts(first + line)} for line in range(count))
        return [rle.compute_area(code) for code in codes]

    def _name_errors(self, number: int) -> Any:
        return translate_errors(FormatError, into=lambda error: self._error(number, error.message))

    def _error(self, number: int, reason: str) -> FormatError:
        message = f"{self.path}: mask {number} cannot be read ({reason}); restore the file from a copy"
        return FormatError("project-broken", message, path=str(self.path))
