"""LabelMe: a JSON per picture with polygons, rectangles, circles and small masks."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.data.readers.annotations import Annotation
from masklet.data.readers.json_files import read_json, reading
from masklet.data.readers.polygons import polygon_mask
from masklet.errors import FormatError
from masklet.images import read_mask

Mask = NDArray[np.bool_]
_CORNERS = 64  # of the polygon that stands for a circle


def read_labelme(path: Path) -> Annotation:
    """The objects of a LabelMe file, counted from 1; shapes with one label and one group are one object.

    Polygons, rectangles, circles and masks are areas; points and lines are none and are left out. Raises
    `InputNotFound`, `FormatError` naming the file and what is wrong.
    """
    content = read_json(path)
    with reading(path):
        size = int(content["imageHeight"]), int(content["imageWidth"])
        groups: dict[Any, list[Mapping[str, Any]]] = {}
        for number, shape in enumerate(content["shapes"]):
            if shape.get("shape_type", "polygon") in _AREAS:
                group = shape.get("group_id")
                groups.setdefault((shape["label"], number if group is None else f"group {group}"), []).append(shape)
        decoders = {key: partial(_joined, path, shapes, size) for key, shapes in enumerate(groups.values(), start=1)}
        return Annotation(
            size, decoders, categories={key: str(label) for key, (label, _) in enumerate(groups, start=1)}
        )


def _joined(path: Path, shapes: list[Mapping[str, Any]], size: tuple[int, int]) -> Mask:
    with reading(path):
        masks = [_AREAS[shape.get("shape_type", "polygon")](shape, size) for shape in shapes]
        return np.asarray(np.logical_or.reduce(masks))


def _polygon(shape: Mapping[str, Any], size: tuple[int, int]) -> Mask:
    return polygon_mask([shape["points"]], size)


def _rectangle(shape: Mapping[str, Any], size: tuple[int, int]) -> Mask:
    (x0, y0), (x1, y1) = shape["points"]
    return polygon_mask([[x0, y0, x1, y0, x1, y1, x0, y1]], size)


def _circle(shape: Mapping[str, Any], size: tuple[int, int]) -> Mask:
    """A circle by its centre and a point on it."""
    centre, rim = np.asarray(shape["points"], np.float64)
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return polygon_mask([centre + np.hypot(*(rim - centre)) * unit], size)


def _stamp(shape: Mapping[str, Any], size: tuple[int, int]) -> Mask:
    """A PNG of the object's box, in base64, and the box's corners, both within."""
    (left, top), _ = np.rint(np.asarray(shape["points"], np.float64)).astype(int).tolist()
    try:
        found = read_mask(base64.b64decode(shape["mask"], validate=True)) != 0
    except binascii.Error as cause:
        raise FormatError("dataset-broken", f"the mask of {shape['label']!r} is not base64 ({cause})") from cause
    height, width = found.shape
    if left < 0 or top < 0 or left + width > size[1] or top + height > size[0]:
        raise FormatError("dataset-broken", f"the mask of {shape['label']!r} does not lie in the picture")
    canvas = np.zeros(size, bool)
    canvas[top : top + height, left : left + width] = found
    return canvas


_AREAS = {"polygon": _polygon, "rectangle": _rectangle, "circle": _circle, "mask": _stamp}
