"""MOTS text file: a line per mask with frame, id, class, size and RLE.

Classes have numbers, but names only in KITTI MOTS and MOTSChallenge: car and pedestrian.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count, groupby
from pathlib import Path
from typing import BinaryIO

import numpy as np

from masklet.errors import FormatError
from masklet.files.open_input import open_input
from masklet.formats.format import Clip, FileFormat
from masklet.formats.frame_masks import ReadMask, build_frame
from masklet.masks import rle
from masklet.masks.labels import UNLABELED
from masklet.masks.rle_frame import RleFrame
from masklet.masks.tracked_frame import TrackedFrame

_CAR, _PEDESTRIAN, _IGNORED = 1, 2, 10  # classes of KITTI MOTS; MOTSChallenge has the latter two
_LABELS = {_CAR: "car", _PEDESTRIAN: "pedestrian"}
_CLASSES = {"car": _CAR, "pedestrian": _PEDESTRIAN, "person": _PEDESTRIAN, UNLABELED: _PEDESTRIAN}
_PER_CLASS = 1000  # an id is class × 1000 + object


def write(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip) -> None:
    """Write a line per mask that is not empty. MOTS masks must not overlap: the smallest object id wins.

    Objects without a label are of the class pedestrian, which both datasets evaluate. Labels other than car, pedestrian
    and person are the classes 3, 4, …
    """
    classes = _number_classes(clip)
    for frame in frames:
        taken = np.zeros(frame.size, bool)
        for mask in sorted(frame, key=lambda mask: mask.object_id):
            visible = rle.decode(mask.rle) & ~taken
            taken |= visible
            if visible.any():
                height, width = frame.size
                kind = classes[clip.class_of(mask.object_id)]
                number = kind * _PER_CLASS + mask.object_id
                line = f"{frame.index} {number} {kind} {height} {width} {rle.encode(visible)['counts']}\n"
                handle.write(line.encode())


def read(path: Path) -> Iterator[TrackedFrame]:
    """Read the frames that have masks. The classes 1 and 2 are the labels car and pedestrian.

    Ignored areas (class 10) are skipped.
    """
    rows = sorted(_rows(path), key=lambda row: row[0])
    for index, group in groupby(rows, key=lambda row: row[0]):
        masks = [mask for _, mask in group]
        height, width = masks[0].rle["size"]
        yield build_frame(index, None, (height, width), masks)


MOTS = FileFormat("mots", "mots.txt", write, read)


def _number_classes(clip: Clip) -> dict[str, int]:
    other = (number for number in count(_PEDESTRIAN + 1) if number != _IGNORED)
    return {name: _CLASSES.get(name.lower()) or next(other) for name in clip.number_classes()}


def _rows(path: Path) -> Iterator[tuple[int, ReadMask]]:
    with open_input(path) as handle:
        for number, line in enumerate(handle, start=1):
            try:
                index, name, kind, height, width = (int(part) for part in line.split()[:5])
                counts = line.split()[5].decode("ascii")
            except (ValueError, IndexError) as cause:
                message = f"{path}, line {number}: expected frame, id, class, height, width and RLE"
                raise FormatError("annotation-broken", message, path=str(path)) from cause
            if kind != _IGNORED:
                code = {"size": [height, width], "counts": counts}
                yield index, ReadMask(name - kind * _PER_CLASS, 1.0, code, _LABELS.get(kind))
