"""LabelMe: a JSON file per image with shapes; of a video, a file per frame.

`parse` reads such files, for frames here and for datasets in `masklet.datasets.labelme`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import ImageError
from masklet.files.json_fields import Fields, name_errors, read_fields
from masklet.formats.format import Clip, FolderFormat
from masklet.formats.frame_files import list_frames
from masklet.formats.frame_masks import ReadMask, build_frame, check_size
from masklet.formats.image_layout import ImageLayout
from masklet.formats.object_numbers import Key, KeyMaker
from masklet.formats.object_numbers import number_objects as number_keys
from masklet.images import read_mask
from masklet.masks import rle
from masklet.masks.labels import UNLABELED, read_label
from masklet.masks.polygons import rasterize, trace_pieces
from masklet.masks.rle_frame import RleFrame
from masklet.masks.tracked_frame import TrackedFrame

_VERSION = "5.5.0"  # of LabelMe's file format
_NO_AREAS = frozenset({"point", "points", "line", "linestrip"})
_CIRCLE_VERTICES = 64  # of the polygon that approximates a circle

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LabelMeObject:
    """The shapes of one object. `key` identifies it within a file and across the files of frames."""

    key: Key
    size: tuple[int, int]
    shapes: list[Fields] = field(default_factory=list)

    @property
    def label(self) -> str | None:
        """The label of the object, or None."""
        return self.key[0]

    def mask(self) -> Mask:
        """Draw the shapes into one mask (H, W). Raises `FormatError`."""
        return np.asarray(np.logical_or.reduce([_draw(shape, self.size) for shape in self.shapes]))


def parse(file: Fields) -> tuple[tuple[int, int], list[LabelMeObject]]:
    """Read the image's size (H, W) and the objects of a LabelMe file.

    Shapes with the same label and the same `group_id` are one object; a shape without `group_id` is an object of its
    own, as in LabelMe. Polygons, rectangles, circles and masks are read; points and lines are skipped. A label such as
    "object 3" of group 3, as masklet writes it for an object without a label, is None. Raises `FormatError`, also for a
    shape of another type.
    """
    with name_errors(file.place):
        size = check_size((file.integer("imageHeight"), file.integer("imageWidth")))
    objects: dict[Key, LabelMeObject] = {}
    keys = KeyMaker()
    for shape in file.objects("shapes"):
        if _kind(shape) in _NO_AREAS:
            continue
        group = None if shape.get("group_id") is None else shape.integer("group_id")
        key = keys.make(_read_label(shape, group), group)
        objects.setdefault(key, LabelMeObject(key, size)).shapes.append(shape)
    return size, [*objects.values()]


def number_objects(objects: Sequence[LabelMeObject], known: dict[Key, int]) -> dict[int, LabelMeObject]:
    """Number the objects of a file by their keys, as in `masklet.formats.object_numbers`.

    `known` are the numbers of objects in files of other frames, to which new ones are added.
    """
    numbers = number_keys((item.key for item in objects), known)
    return {numbers[item.key]: item for item in objects}


def _encode_frame(frame: RleFrame, clip: Clip) -> Mapping[str, bytes]:
    """Encode the file of a frame. The shapes of an object share its label and group id."""
    shapes = [
        {
            "label": clip.labels.get(mask.object_id) or _name_unlabeled(mask.object_id),
            "points": outline.tolist(),
            "group_id": mask.object_id,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
        }
        for mask in frame
        for outline in trace_pieces(rle.decode(mask.rle))
    ]
    height, width = frame.size
    record: dict[str, Any] = {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": Path(clip.image_name(frame.index)).name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    return {f"{clip.stem(frame.index)}.json": json.dumps(record, indent=1).encode()}


def read(path: Path) -> Iterator[TrackedFrame]:
    """Read the frames of a folder of LabelMe files, or of one such file; see `parse` and `number_objects`.

    Raises `FormatError`.
    """
    known: dict[Key, int] = {}
    for index, file in list_frames(path, ".json") if path.is_dir() else [(0, path)]:
        yield _frame(index, read_fields(file), known)


def read_file(file: Fields) -> Iterator[TrackedFrame]:
    """Read the frame of one parsed file."""
    yield _frame(0, file, {})


LABELME = FolderFormat("labelme", "labelme", _encode_frame, read, images=ImageLayout("", is_required=True))


def _frame(index: int, file: Fields, known: dict[Key, int]) -> TrackedFrame:
    size, objects = parse(file)
    numbered_objects = number_objects(objects, known)
    masks = [ReadMask(number, 1.0, rle.encode(item.mask()), item.label) for number, item in numbered_objects.items()]
    with name_errors(file.place):
        return build_frame(index, None, size, masks)


def _name_unlabeled(object_id: int | None) -> str:
    """Return the label of an object that has none."""
    return f"{UNLABELED} {object_id}"


def _read_label(shape: Fields, group: int | None) -> str | None:
    label = shape.text("label", "")
    with name_errors(shape.place):
        return None if label == _name_unlabeled(group) else read_label(label)


def _kind(shape: Fields) -> str:
    kind = shape.text("shape_type", "polygon")
    if kind not in _AREAS and kind not in _NO_AREAS:
        known = ", ".join([*_AREAS, *sorted(_NO_AREAS)])
        raise shape.error(f"a shape of type {kind[:60]!r} is not supported; types are {known}")
    return kind


def _draw(shape: Fields, size: tuple[int, int]) -> Mask:
    with name_errors(shape.place):
        return _AREAS[_kind(shape)](shape, size)


def _draw_polygon(shape: Fields, size: tuple[int, int]) -> Mask:
    return rasterize([shape.array("points")], size)


def _draw_rectangle(shape: Fields, size: tuple[int, int]) -> Mask:
    (x0, y0), (x1, y1) = _two_points(shape).tolist()
    return rasterize([[x0, y0, x1, y0, x1, y1, x0, y1]], size)


def _draw_circle(shape: Fields, size: tuple[int, int]) -> Mask:
    """Draw a circle, given by its center and a point on it."""
    center, rim = _two_points(shape)
    angles = np.linspace(0, 2 * np.pi, _CIRCLE_VERTICES, endpoint=False)
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return rasterize([center + np.hypot(*(rim - center)) * unit], size)


def _draw_stamp(shape: Fields, size: tuple[int, int]) -> Mask:
    """Draw a mask: a base64 PNG of the object's box, with the box's first and last pixel as points."""
    (left, top), _ = np.rint(_two_points(shape)).astype(np.int64).tolist()
    canvas = rasterize([], size)
    try:
        stamp = read_mask(base64.b64decode(shape.text("mask"), validate=True)) != 0
    except (binascii.Error, ImageError) as cause:
        raise shape.error(f"the mask of {shape.get('label')!r:.60} is not a base64 PNG ({cause})") from cause
    height, width = stamp.shape
    if left < 0 or top < 0 or left + width > size[1] or top + height > size[0]:
        raise shape.error(f"the mask of {shape.get('label')!r:.60} lies outside the image")
    canvas[top : top + height, left : left + width] = stamp
    return canvas


_AREAS = {"polygon": _draw_polygon, "rectangle": _draw_rectangle, "circle": _draw_circle, "mask": _draw_stamp}


def _two_points(shape: Fields) -> NDArray[np.float64]:
    try:
        points = np.array(shape.array("points"), np.float64).reshape(2, 2)
    except (TypeError, ValueError) as cause:
        raise shape.error(f"a {_kind(shape)} must have two points (x, y)") from cause
    if not (np.abs(points) < 2**31).all():  # false for NaN
        raise shape.error(f"a {_kind(shape)} must have finite points")
    return points
