"""MOTS text file: a line per mask with frame, id, class, size and RLE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import numpy as np

from masklet.errors import FormatError
from masklet.files.open_input import open_input
from masklet.formats.format import Clip, FileFormat
from masklet.formats.frame_masks import ReadMask, build_frame
from masklet.masks import rle
from masklet.masks.rle_frame import RleFrame
from masklet.masks.tracked_frame import TrackedFrame

CLASS_ID = 2  # pedestrian, the class that both KITTI MOTS and MOTSChallenge evaluate; tracked objects have no class
_PER_CLASS = 1000  # an id is class × 1000 + object


def write(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip) -> None:
    """Write a line per mask that is not empty. MOTS masks must not overlap: the smallest object id wins."""
    for frame in frames:
        taken = np.zeros(frame.size, bool)
        for mask in sorted(frame, key=lambda mask: mask.object_id):
            visible = rle.decode(mask.rle) & ~taken
            taken |= visible
            if visible.any():
                height, width = frame.size
                number = CLASS_ID * _PER_CLASS + mask.object_id
                line = f"{frame.index} {number} {CLASS_ID} {height} {width} {rle.encode(visible)['counts']}\n"
                handle.write(line.encode())


def read(path: Path) -> Iterator[TrackedFrame]:
    """Read the frames that have masks. Ignored areas (class 10) are skipped."""
    rows = sorted(_rows(path), key=lambda row: row[0])
    for index, group in groupby(rows, key=lambda row: row[0]):
        masks = [mask for _, mask in group]
        height, width = masks[0].rle["size"]
        yield build_frame(index, None, (height, width), masks)


MOTS = FileFormat("mots", "mots.txt", write, read)


def _rows(path: Path) -> Iterator[tuple[int, ReadMask]]:
    with open_input(path) as handle:
        for number, line in enumerate(handle, start=1):
            try:
                index, name, kind, height, width = (int(part) for part in line.split()[:5])
                counts = line.split()[5].decode("ascii")
            except (ValueError, IndexError) as cause:
                message = f"{path}, line {number}: expected frame, id, class, height, width and RLE"
                raise FormatError("annotation-broken", message, path=str(path)) from cause
            if kind != 10:  # "ignore" in both datasets
                code = {"size": [height, width], "counts": counts}
                yield index, ReadMask(name - kind * _PER_CLASS, 1.0, code)
