"""YOLO reader: a text file per image or frame, with the names of the classes beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.files.image_files import has_image_suffix
from masklet.files.json_fields import name_errors
from masklet.files.junk_files import skip_junk
from masklet.files.text_files import read_lines
from masklet.formats.frame_files import list_frames
from masklet.formats.frame_masks import ReadMask, build_frame, check_size
from masklet.formats.object_numbers import Key, KeyMaker, number_objects
from masklet.formats.skipped import SkippedAnnotations
from masklet.formats.yolo_classes import DESCRIPTION, LIST, Classes, read_classes
from masklet.images.image_file import read_size
from masklet.masks import rle
from masklet.masks.polygons import rasterize, read_vertices
from masklet.masks.tracked_frame import TrackedFrame

_MAX_FRACTION = 4  # shapes may extend beyond the image, but coordinates above this are pixels


def read(path: Path) -> Iterator[TrackedFrame]:
    """Read the frames of a folder with `labels/` and the names of the classes, in `data.yaml` or `classes.txt`.

    Each line is an object, a polygon or a box; its class is the label, `UNLABELED` is None. A number that follows the
    coordinates is the score or, if all of them in a file are whole numbers, the object id, as trackers write them. An
    object without an id has the number of the n-th object of its class on other frames. Files of version 0.1, where
    classes were objects, are read as such.

    The size of the frames is in a `data.yaml` that masklet wrote, and else that of the images in `images/`. Lines that
    cannot be read are skipped with a warning; if none can be read, the first error is raised.

    Raises `InputNotFound` or `FormatError`.
    """
    skipped = SkippedAnnotations(path, "line")
    return skipped.report(_read_frames(path, skipped))


def _read_frames(path: Path, skipped: SkippedAnnotations) -> Iterator[TrackedFrame]:
    classes, known = read_classes(path), dict[Key, int]()
    frames = list_frames(path / "labels", ".txt", exclude=LIST)
    images = {} if classes.size else _list_images(path / "images")
    for index, file in frames:
        with name_errors(file):
            size = check_size(classes.size or _image_size(images.get(file.stem), file))
            lines = _parse_lines(file, classes, size, skipped)
            frame = build_frame(index, None, size, [*_masks(lines, classes, size, known)])
        yield frame


def _parse_lines(file: Path, classes: Classes, size: tuple[int, int], skipped: SkippedAnnotations) -> list[_Line]:
    lines = []
    for number, text in enumerate(read_lines(file) if file.stat().st_size else [], start=1):
        if text:
            with skipped.catch(), name_errors(f"{file}, line {number}"):
                line = _parse_line(text)
                _label_of(line, classes)
                read_vertices(line.outline * size[::-1])
                lines.append(line)
    return lines


class _Line(NamedTuple):
    """A line of a label file: class, outline (P, 2) xy in 0 … 1, and the number after it, or ""."""

    class_id: int
    outline: NDArray[np.float64]
    extra: str


def _masks(
    lines: Sequence[_Line], classes: Classes, size: tuple[int, int], known: dict[Key, int]
) -> Iterator[ReadMask]:
    """Yield the mask of each line. `known` are the numbers of objects on other frames."""
    has_ids, maker = all(line.extra.isdecimal() for line in lines if line.extra), KeyMaker()
    keys = [maker.make(_label_of(line, classes), int(line.extra) if line.extra and has_ids else None) for line in lines]
    numbers = number_objects(keys, known)
    for line, key in zip(lines, keys, strict=True):
        score = float(line.extra) if line.extra and not has_ids else 1.0
        code = rle.encode(rasterize([line.outline * size[::-1]], size))
        yield ReadMask(classes.object_ids.get(line.class_id, numbers[key]), score, code, key[0])


def _label_of(line: _Line, classes: Classes) -> str | None:
    if line.class_id not in (classes.object_ids or classes.labels):
        raise FormatError("annotation-broken", f"class {line.class_id} has no name in {DESCRIPTION} or {LIST}")
    return classes.labels.get(line.class_id)


def _parse_line(line: str) -> _Line:
    try:
        class_id, *values = line.split()
        extra = values.pop() if len(values) % 2 else ""
        if not isfinite(float(extra or 0)):
            raise ValueError(f"the score {extra} is not finite")
        numbers = np.array(values, np.float64)
        outline = _box_outline(*numbers.tolist()) if len(numbers) == 4 else numbers.reshape(-1, 2)
        if np.abs(outline).max(initial=0) > _MAX_FRACTION:
            raise ValueError("the coordinates are pixels, not fractions")
        number = float(class_id)  # some tools write 0.0
        if not number.is_integer():
            raise ValueError("the class is no whole number")
        return _Line(int(number), outline, extra)
    except ValueError as cause:
        message = f"expected a class and pairs of fractions, got {line!r:.60}"
        raise FormatError("annotation-broken", message) from cause


def _box_outline(x: float, y: float, width: float, height: float) -> NDArray[np.float64]:
    """Return the corners of a box, given by its center and its size. Raises `ValueError` for a negative size."""
    if width < 0 or height < 0:
        raise ValueError("the size of the box is negative")
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float64)
    return np.asarray((x, y) + corners * (width / 2, height / 2))


def _list_images(folder: Path) -> dict[str, Path]:
    """List the image files of a folder by stem; none if there is no folder."""
    paths = sorted(skip_junk(folder.iterdir())) if folder.is_dir() else []
    return {path.stem: path for path in paths if has_image_suffix(path)}


def _image_size(image: Path | None, file: Path) -> tuple[int, int]:
    size = read_size(image) if image else None
    if size is None:
        message = f"the size of its image is unknown; keep the image as images/{file.stem}.jpg or .png beside labels"
        raise FormatError("annotation-broken", message)
    return size
