"""Masks as LabelMe files: a JSON file per frame with a polygon per piece, grouped by object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet import rle
from masklet.coded import CodedFrame
from masklet.errors import FormatError
from masklet.formats.folders import numbered
from masklet.formats.form import Clip, FolderFormat
from masklet.formats.outlines import fill, polygons
from masklet.formats.records import Fields, read_json
from masklet.masks import Masks
from masklet.propagate import TrackedFrame

_VERSION = "5.5.0"  # of LabelMe's file format


def files(frame: CodedFrame, clip: Clip) -> Mapping[str, bytes]:
    """A file to lie beside the frame's picture. An object's shapes share its label and its group id."""
    shapes = [
        {
            "label": f"object {mask.object_id}",
            "points": [[float(x), float(y)] for x, y in outline.tolist()],
            "group_id": mask.object_id,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
        }
        for mask in frame
        for outline in polygons(rle.decode(mask.code))
    ]
    height, width = frame.size
    record: dict[str, Any] = {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": Path(clip.picture(frame.index)).name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    return {f"{clip.stem(frame.index)}.json": json.dumps(record, indent=1).encode()}


def read(path: Path) -> Iterator[TrackedFrame]:
    """The frames of a folder of LabelMe files, or of one such file: its polygons, rectangles and circles.

    An object is a group id; shapes without one are an object per label, numbered as they come. Raises `FormatError`.
    """
    labels: dict[str, int] = {}
    for index, file in numbered(path, ".json") if path.is_dir() else [(0, path)]:
        yield TrackedFrame(index, None, _masks(file, labels))


LABELME = FolderFormat("labelme", "labelme", files, read)


def _masks(path: Path, labels: dict[str, int]) -> Masks:
    file = Fields(read_json(path), path)
    size = file.whole("imageHeight"), file.whole("imageWidth")
    found: dict[int, NDArray[np.bool_]] = {}
    for shape in file.each("shapes"):
        group, label = shape.get("group_id"), str(shape.get("label"))
        object_id = labels.setdefault(label, len(labels) + 1) if group is None else shape.whole("group_id")
        drawn = _drawn(shape, size, path)
        found[object_id] = found[object_id] | drawn if object_id in found else drawn
    return Masks.from_binary(np.stack([*found.values()]), object_ids=[*found]) if found else Masks.empty(size)


def _drawn(shape: Fields, size: tuple[int, int], path: Path) -> NDArray[np.bool_]:
    kind, points = shape.get("shape_type") or "polygon", shape.rows("points")
    if kind == "polygon":
        return fill([points], size)
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = _pairs(points, path)
        return fill([[(x0, y0), (x1, y0), (x1, y1), (x0, y1)]], size)
    if kind == "circle" and len(points) == 2:
        centre, edge = _pairs(points, path)
        y, x = np.ogrid[: size[0], : size[1]]
        inside: NDArray[np.bool_] = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= ((edge - centre) ** 2).sum()
        return inside
    message = f"{path}: a shape of type {kind!r:.30} is no mask; polygons, rectangles and circles are"
    raise FormatError("annotation-broken", message, path=str(path))


def _pairs(points: list[Any], path: Path) -> NDArray[np.float64]:
    try:
        return np.array(points, np.float64).reshape(2, 2)
    except (TypeError, ValueError) as cause:
        raise FormatError("annotation-broken", f"{path}: a shape must have two points (x, y)") from cause
