"""MOTS text file: a line per mask with frame, id, class, size and RLE.

Classes have numbers, but names only in KITTI MOTS and MOTSChallenge: car and pedestrian.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count, groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from masklet.errors import FormatError
from masklet.files.json_fields import name_errors
from masklet.files.text_files import read_lines
from masklet.formats.format import Clip, FileFormat
from masklet.formats.frame_masks import ReadMask, build_frame
from masklet.formats.object_numbers import Key, number_objects
from masklet.formats.skipped import SkippedAnnotations
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

    An id is unique with its class only: the object is `id - class × 1000`, or a free number if an object of another
    class is that. Ignored areas (class 10) and broken lines are skipped with a warning. Raises `FormatError`.
    """
    skipped = SkippedAnnotations(path)
    return skipped.report(_read_frames(path, skipped))


MOTS = FileFormat("mots", "mots.txt", write, read)


def _number_classes(clip: Clip) -> dict[str, int]:
    other = (number for number in count(_PEDESTRIAN + 1) if number != _IGNORED)
    return {name: _CLASSES.get(name.lower()) or next(other) for name in clip.number_classes()}


class _Row(NamedTuple):
    """A line: the frame, the key of the object, the class and the mask."""

    frame: int
    key: Key
    kind: int
    code: Mapping[str, Any]


def _read_frames(path: Path, skipped: SkippedAnnotations) -> Iterator[TrackedFrame]:
    rows = sorted(_rows(path, skipped), key=lambda row: row.frame)
    numbers = number_objects((row.key for row in rows), {})
    for index, group in groupby(rows, key=lambda row: row.frame):
        frame_rows = [*group]
        height, width = frame_rows[0].code["size"]
        for row in frame_rows:
            if row.code["size"] != [height, width]:
                skipped.add("of another size than their frame", f"frame {index}")
        masks = [
            ReadMask(numbers[row.key], 1.0, row.code, _LABELS.get(row.kind))
            for row in frame_rows
            if row.code["size"] == [height, width]
        ]
        with name_errors(path):
            yield build_frame(index, None, (height, width), masks)


def _rows(path: Path, skipped: SkippedAnnotations) -> Iterator[_Row]:
    for number, line in enumerate(read_lines(path), start=1):
        if not line:
            continue
        row = None
        with skipped.catch():
            row = _parse_line(line, f"{path}, line {number}")
        if row is not None and row.kind != _IGNORED:
            yield row
        elif row is not None:
            skipped.add("of the class of ignored areas")


def _parse_line(line: str, place: str) -> _Row:
    parts = line.split()
    try:
        index, name, kind, height, width = (_to_integer(part) for part in parts[:5])
        code = {"size": [height, width], "counts": parts[5]}
    except (ValueError, IndexError) as cause:
        message = f"{place}: expected frame, id, class, height, width and RLE, as MOTS has them"
        raise FormatError("annotation-broken", message) from cause
    with name_errors(place):
        rle.read_runs(code)
    instance = name - kind * _PER_CLASS
    return _Row(index, (str(kind), instance if instance >= 0 else name, name), kind, code)


def _to_integer(text: str) -> int:
    number = float(text)  # some tools write 1001.0
    if not number.is_integer():
        raise ValueError(f"{text} must be a whole number")
    return int(number)
