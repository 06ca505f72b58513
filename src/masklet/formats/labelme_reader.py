"""LabelMe and X-AnyLabeling reader: shapes of images, for frames here and for `masklet.datasets.labelme`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError, ImageError, InputNotFound
from masklet.files.image_files import has_image_suffix
from masklet.files.json_fields import Fields, name_errors, read_fields
from masklet.files.junk_files import skip_junk
from masklet.formats.frame_files import list_frames
from masklet.formats.frame_masks import ReadMask, build_frame, check_size
from masklet.formats.object_numbers import Key, KeyMaker
from masklet.formats.object_numbers import number_objects as number_keys
from masklet.formats.skipped import SkippedAnnotations
from masklet.images.image_file import read_size
from masklet.masks import rle
from masklet.masks.labels import UNLABELED, read_label
from masklet.masks.mask_reader import read_mask
from masklet.masks.polygons import rasterize, read_vertices
from masklet.masks.tracked_frame import TrackedFrame

_NO_AREAS = frozenset({"point", "points", "line", "linestrip"})
_CIRCLE_VERTICES = 64  # of the polygon that approximates a circle
_CORNERS = 4  # of a rectangle
_MAX_COORDINATE_PX = 2**31

Mask = NDArray[np.bool_]
Size = tuple[int, int]
Draw = Callable[[], Mask]


@dataclass(frozen=True, slots=True)
class LabelMeObject:
    """The shapes of one object. `key` identifies it within a file and across the files of frames."""

    key: Key
    shapes: list[Draw] = field(default_factory=list)

    @property
    def label(self) -> str | None:
        """The label of the object, or None."""
        return self.key[0]

    def mask(self) -> Mask:
        """Draw the shapes into one mask (H, W)."""
        return np.asarray(np.logical_or.reduce([draw() for draw in self.shapes]))


def parse(file: Fields, skipped: SkippedAnnotations, image: Path | None = None) -> tuple[Size, list[LabelMeObject]]:
    """Read the image's size (H, W) and the objects of a LabelMe file.

    Shapes with the same label and the same `group_id` are one object; a shape without `group_id` is an object of its
    own, as in LabelMe. Polygons, rectangles, rotated rectangles, circles and masks are read. Points, lines and shapes
    of other types have no area. A label such as "object 3" of group 3, as masklet writes it for an object without a
    label, is None.

    Args:
        file: The file.
        skipped: Counts the shapes that are left out. The caller issues the warning.
        image: The image file, from which the size is read if the file does not have it.

    Raises:
        FormatError: The file has no list of shapes, or the image's size is unknown.
    """
    size = _read_size(file, image)
    objects: dict[Key, LabelMeObject] = {}
    keys = KeyMaker()
    for number in range(0 if file.get("shapes") is None else len(file.array("shapes"))):
        try:
            shape = file.item("shapes", number)
            kind = shape.text("shape_type", "polygon")
            if kind in _NO_AREAS:
                skipped.add(f"of type {kind}")
                continue
            draw = _prepare(shape, kind, size)
            group = None if shape.get("group_id") is None else shape.identifier("group_id")
            key = keys.make(_read_label(shape, group), group)
        except FormatError as error:
            skipped.add_broken(error)
            continue
        skipped.add_readable()
        objects.setdefault(key, LabelMeObject(key)).shapes.append(draw)
    return size, [*objects.values()]


def number_objects(objects: Sequence[LabelMeObject], known: dict[Key, int]) -> dict[int, LabelMeObject]:
    """Number the objects of a file by their keys, as in `masklet.formats.object_numbers`.

    `known` are the numbers of objects in files of other frames, to which new ones are added.
    """
    numbers = number_keys((item.key for item in objects), known)
    return {numbers[item.key]: item for item in objects}


def is_labelme_folder(folder: Path) -> bool:
    """Return whether a folder has JSON files and no masks beside them: no images, or only images of their names."""
    files = [path for path in skip_junk(folder.iterdir()) if path.is_file()]
    stems = {path.stem for path in files if path.suffix.lower() == ".json"}
    images = {path.stem for path in files if has_image_suffix(path)}
    return bool(stems) and (not images or bool(stems & images))


def read(path: Path) -> Iterator[TrackedFrame]:
    """Read the frames of a folder of LabelMe files, or of one such file; see `parse` and `number_objects`.

    Raises `FormatError`.
    """
    skipped = SkippedAnnotations(path, "shape")
    return skipped.report(_read_frames(path, skipped))


def read_file(file: Fields) -> Iterator[TrackedFrame]:
    """Read the frame of one parsed file."""
    skipped = SkippedAnnotations(file.source, "shape")
    return skipped.report(_frame(0, file, {}, skipped) for _ in range(1))


def name_unlabeled(object_id: int | str | None) -> str:
    """Return the label of an object that has none."""
    return f"{UNLABELED} {object_id}"


def _read_frames(path: Path, skipped: SkippedAnnotations) -> Iterator[TrackedFrame]:
    known: dict[Key, int] = {}
    for index, file in list_frames(path, ".json") if path.is_dir() else [(0, path)]:
        yield _frame(index, read_fields(file), known, skipped)


def _frame(index: int, file: Fields, known: dict[Key, int], skipped: SkippedAnnotations) -> TrackedFrame:
    size, objects = parse(file, skipped)
    numbered_objects = number_objects(objects, known)
    masks = [ReadMask(number, 1.0, rle.encode(item.mask()), item.label) for number, item in numbered_objects.items()]
    with name_errors(file.place):
        return build_frame(index, None, size, masks)


def _read_size(file: Fields, image: Path | None) -> Size:
    """Return the image's size: that in the file, or else that of the image in the file or beside it."""
    if not file.get("imageHeight") or not file.get("imageWidth"):
        size = next(filter(None, map(read_size, _find_images(file, image))), None)
        if size is not None:
            return size
    with name_errors(file.place):
        return check_size((file.integer("imageHeight"), file.integer("imageWidth")))


def _find_images(file: Fields, image: Path | None) -> Iterator[Path | bytes]:
    if image is not None:
        yield image
    data = file.get("imageData")
    if isinstance(data, str):
        with suppress(ValueError):
            yield base64.b64decode(data)
    source = Path(file.source)
    name = file.get("imagePath")
    names = {source.stem, PurePosixPath(name.replace("\\", "/")).stem} if isinstance(name, str) else {source.stem}
    for folder in (source.parent, source.parent.parent / "images"):
        entries = skip_junk(folder.iterdir()) if folder.is_dir() else []
        yield from (path for path in entries if path.stem in names and has_image_suffix(path))


def _read_label(shape: Fields, group: int | str | None) -> str | None:
    label = shape.get("label")
    if isinstance(label, int | float) and not isinstance(label, bool):
        label = str(label)  # of files that a script wrote
    with name_errors(shape.place):
        return None if label == name_unlabeled(group) else read_label(label)


def _prepare(shape: Fields, kind: str, size: Size) -> Draw:
    """Return the function that draws a shape, after checking that it can. Raises `FormatError`."""
    with name_errors(shape.place):
        if kind == "mask":
            left, top, stamp = _read_stamp(shape)
            return lambda: _paste(left, top, stamp, size)
        if kind not in _OUTLINES:
            known = ", ".join([*_OUTLINES, "mask", *sorted(_NO_AREAS)])
            raise shape.error(f"a shape of type {kind[:60]!r} is not supported; types are {known}")
        outline = read_vertices(_OUTLINES[kind](shape, kind))
        return lambda: rasterize([outline], size)


def _outline_polygon(shape: Fields, _kind: str) -> object:
    return shape.array("points")


def _outline_rectangle(shape: Fields, kind: str) -> object:
    """Return the corners of a rectangle, given by two opposite ones (LabelMe) or all four (X-AnyLabeling)."""
    points = _read_points(shape, kind, 2, _CORNERS)
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def _outline_rotated(shape: Fields, kind: str) -> object:
    return _read_points(shape, kind, _CORNERS)


def _outline_circle(shape: Fields, kind: str) -> object:
    """Return the outline of a circle, given by its center and a point on it."""
    center, rim = _read_points(shape, kind, 2)
    angles = np.linspace(0, 2 * np.pi, _CIRCLE_VERTICES, endpoint=False)
    return center + np.hypot(*(rim - center)) * np.stack([np.cos(angles), np.sin(angles)], axis=1)


_OUTLINES = {
    "polygon": _outline_polygon,
    "rectangle": _outline_rectangle,
    "circle": _outline_circle,
    "rotation": _outline_rotated,  # X-AnyLabeling
    "oriented_rectangle": _outline_rotated,
    "quadrilateral": _outline_rotated,
}


def _read_points(shape: Fields, kind: str, *counts: int) -> NDArray[np.float64]:
    """Return the points (P, 2) of a shape, whose number is one of `counts`."""
    expected = " or ".join(map(str, counts))
    try:
        points = np.array(shape.array("points"), np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError) as cause:
        raise shape.error(f"a {kind} must have {expected} points (x, y)") from cause
    if len(points) not in counts:
        raise shape.error(f"a {kind} must have {expected} points (x, y), got {len(points)}")
    if not (np.abs(points) < _MAX_COORDINATE_PX).all():  # false for NaN
        raise shape.error(f"a {kind} must have finite points")
    return points


def _read_stamp(shape: Fields) -> tuple[int, int, Mask]:
    """Read a mask: a base64 PNG of the object's box, with the box's first and last pixel as points."""
    left, top = np.rint(_read_points(shape, "mask", 2)[0]).astype(np.int64).tolist()
    try:
        return left, top, read_mask(base64.b64decode(shape.text("mask"), validate=True)) != 0
    except (ValueError, ImageError, InputNotFound) as cause:  # ValueError: not base64, or not ASCII
        raise shape.error(f"the mask of {shape.get('label')!r:.60} is not a base64 PNG ({cause})") from cause


def _paste(left: int, top: int, stamp: Mask, size: Size) -> Mask:
    """Return the mask of an image in which `stamp` is pasted. Parts outside the image are cut off."""
    canvas = rasterize([], size)
    bottom, right = top + stamp.shape[0], left + stamp.shape[1]
    part = stamp[max(0, -top) : max(0, size[0] - top), max(0, -left) : max(0, size[1] - left)]
    canvas[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = part
    return canvas
