"""YOLO segmentation labels: a text file per frame, with a line per object of polygon coordinates in 0 … 1."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.files.json_fields import name_errors
from masklet.files.open_input import open_input
from masklet.formats.format import Clip, FolderFormat
from masklet.formats.frame_files import list_frames
from masklet.formats.frame_masks import ReadMask, build_frame
from masklet.masks import rle
from masklet.masks.polygons import rasterize, trace_mask
from masklet.masks.rle_frame import RleFrame
from masklet.masks.tracked_frame import TrackedFrame

_DESCRIPTION = "data.yaml"
_MAX_DESCRIPTION_BYTES = 1 << 20  # of a description


def _encode_frame(frame: RleFrame, clip: Clip) -> Mapping[str, bytes]:
    """Encode a line `class x y x y …` per visible object. The class is its position among the clip's objects."""
    classes = {object_id: place for place, object_id in enumerate(clip.object_ids)}
    lines = [
        f"{classes[mask.object_id]} {_fractions(outline, frame.size)}\n"
        for mask in frame
        if len(outline := trace_mask(rle.decode(mask.rle)))
    ]
    return {f"labels/{clip.stem(frame.index)}.txt": "".join(lines).encode()}


def _encode_description(clip: Clip) -> Mapping[str, bytes]:
    """Encode `data.yaml` with the class names, and the image size in a comment, since labels do not have it."""
    names = "".join(f"  {place}: object {object_id}\n" for place, object_id in enumerate(clip.object_ids))
    height, width = clip.size
    text = f"# {json.dumps({'size': [height, width]})}\npath: .\ntrain: images\nval: images\nnames:\n{names}"
    return {_DESCRIPTION: text.encode()}


def read(path: Path) -> Iterator[TrackedFrame]:
    """Read the frames of a folder with `labels/` and `data.yaml` written by masklet. Raises `FormatError`."""
    size, names = _description(path / _DESCRIPTION)
    for index, file in list_frames(path / "labels", ".txt"):
        with name_errors(file):
            frame = build_frame(index, None, size, [*_masks(file, names, size)])
        yield frame


YOLO = FolderFormat("yolo", "yolo", _encode_frame, read, _encode_description)


def _fractions(outline: NDArray[np.float64], size: tuple[int, int]) -> str:
    height, width = size
    return " ".join(f"{x / width:.6f} {y / height:.6f}" for x, y in outline.tolist())


def _masks(file: Path, names: Mapping[int, int], size: tuple[int, int]) -> Iterator[ReadMask]:
    """Read the mask of each object, which may have several lines."""
    polygons: dict[int, list[NDArray[np.float64]]] = {}
    height, width = size
    for line in file.read_text("utf-8", "replace").splitlines():
        class_id, vertices = _line(line, file)
        if class_id not in names:
            raise FormatError("annotation-broken", f"{file}: class {class_id} is not in {_DESCRIPTION}", path=str(file))
        polygons.setdefault(names[class_id], []).append(vertices * (width, height))
    for object_id, object_polygons in polygons.items():
        yield ReadMask(object_id, 1.0, rle.encode(rasterize(object_polygons, size)))


def _line(line: str, file: Path) -> tuple[int, NDArray[np.float64]]:
    try:
        kind, *values = line.split()
        return int(kind), np.array(values, np.float64).reshape(-1, 2)
    except ValueError as cause:
        message = f"{file}: expected a class and pairs of fractions, got {line!r:.60}"
        raise FormatError("annotation-broken", message, path=str(file)) from cause


def _description(path: Path) -> tuple[tuple[int, int], dict[int, int]]:
    """Read the image size and the object of each class. Only YAML written by masklet is supported."""
    with open_input(path) as handle:
        text = handle.read(_MAX_DESCRIPTION_BYTES).decode("utf-8", "replace")
    size = re.search(r'^# \{"size": \[(\d+), (\d+)\]\}$', text, re.MULTILINE)
    names = {int(place): int(number) for place, number in re.findall(r"^ +(\d+): object (\d+)$", text, re.MULTILINE)}
    if size is None:
        raise FormatError("annotation-broken", f"{path} has no image size in a comment as written by masklet")
    return (int(size[1]), int(size[2])), names
