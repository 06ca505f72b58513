"""Displayed masks: masks and lanes of a project as messages to the page, and the runs of masks in a cache."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.project.cells import EMPTY_MASK
from masklet.project.project import Project
from masklet.studio.frames import BoundedCache
from masklet.studio.messages import encode_runs, pack_masks

MAX_SIDE_PX = 4096
_MAX_RUNS_BYTES = 64 << 20

Mask = NDArray[np.bool_]
Runs = NDArray[np.int32]
BinaryMessage = tuple[dict[str, Any], bytes]
"""Header and payload."""


def reduce_size(size: tuple[int, int], max_side: int = MAX_SIDE_PX) -> tuple[int, int]:
    """Return the size (H, W) in which masks of a frame of `size` are sent: at most `max_side` pixels a side."""
    scale = min(1.0, max_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def resize_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """Resize a mask to (H, W) by the nearest pixel."""
    if mask.shape == size:
        return mask
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)).view(bool)


class DisplayedMasks:
    """Masks of a project as the page shows them. Threads may share it.

    Args:
        project: The project.
        max_bytes: Budget of the cache of runs.
    """

    def __init__(self, project: Project, max_bytes: int = _MAX_RUNS_BYTES) -> None:
        self._project, self._cache = project, BoundedCache[Runs](max_bytes)

    def store(self, medium: int, mask: Mask) -> int:
        """Add a mask (H, W) to the project, and return its number.

        Raises:
            PromptError: `mask-shape`. The mask is not of the medium's size.
            ResourceError: The file cannot be written.
        """
        number = self._project.masks(medium).add(mask)
        if number != EMPTY_MASK:
            self._encode(medium, number, mask)
        return number

    def make_masks(self, medium: int, frame: int) -> BinaryMessage:
        """Return the message `masks` of a frame. Raises `FormatError` if a mask cannot be read."""
        with self._project.lock:
            size = self._project.document.medium(medium).size
            cells, seq = self._project.document.cells_at(medium, frame), self._project.seq
        header = {"kind": "masks", "medium": medium, "frame": frame, "seq": seq, "size": [*reduce_size(size)]}
        rows = [
            (
                {"object": object_id, "score": cell.score, "source": cell.source, "accepted": cell.accepted},
                self._find_runs(medium, EMPTY_MASK if cell.mask is None else cell.mask),
            )
            for object_id, cell in cells.items()
        ]
        return pack_masks(header, rows)

    def make_lanes(self, medium: int) -> BinaryMessage:
        """Return the message `lanes` of an image or video."""
        with self._project.lock:
            document = self._project.document
            frames, objects = document.medium(medium).frames, [*document.objects_of(medium)]
            lanes = [document.cells.bytes_of(medium, object_id, frames) for object_id in objects]
        header = {"kind": "lanes", "medium": medium, "frames": frames, "objects": objects}
        return header, b"".join(lanes)

    def _find_runs(self, medium: int, number: int) -> Runs:
        if number == EMPTY_MASK:
            height, width = reduce_size(self._project.document.medium(medium).size)
            return np.array([height * width], "<i4")
        runs = self._cache.get((medium, number))
        return self._encode(medium, number, self._project.masks(medium).read(number)) if runs is None else runs

    def _encode(self, medium: int, number: int, mask: Mask) -> Runs:
        height, width = mask.shape
        runs = encode_runs(resize_mask(mask, reduce_size((height, width))))
        self._cache.put((medium, number), runs, runs.nbytes)
        return runs
