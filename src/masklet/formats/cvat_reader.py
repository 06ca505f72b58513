"""CVAT XML reader: polygons, masks and rectangles of videos (tracks) and images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.files.open_input import open_input
from masklet.formats.frame_masks import MAX_FRAMES, ReadMask, build_frame
from masklet.formats.object_numbers import Key, KeyMaker, number_objects
from masklet.masks import rle
from masklet.masks.labels import read_label
from masklet.masks.polygons import rasterize
from masklet.masks.tracked_frame import TrackedFrame

_SHAPES = {"polygon", "mask", "box"}
_TEXT_ELEMENTS = {"width", "height", "start_frame", "stop_frame", "frame_filter"}

Attributes = Mapping[str, str]


def read(path: Path) -> Iterator[TrackedFrame]:
    """Read the frames of a CVAT file.

    In a video an object is a track, by its `id`. In images, shapes with the same label and the same `group_id` are one
    object, and a shape without a group is an object of its own. The label is None if it is `UNLABELED`. Shapes marked
    as outside are skipped. Raises `FormatError`.
    """
    document = _parse(path)
    try:
        yield from _frames(document)
    except (ValueError, KeyError, OverflowError) as cause:
        if isinstance(cause, FormatError):
            raise
        raise FormatError("annotation-broken", f"{path}: a shape has a missing or broken field: {cause}") from cause


def read_image_names(path: Path) -> list[str | None]:
    """Read the names of the images of a CVAT file in the order of `read`; none of a video. Raises `FormatError`."""
    document = _parse(path)
    return [document.names.get(frame) for frame in document.all_frames()] if document.names else []


class _Track(NamedTuple):
    object_id: int
    label: str | None


class _Shape(NamedTuple):
    """A shape, and its track; in images, the key of its object."""

    kind: str
    identity: _Track | Key
    attributes: Attributes


@dataclass(slots=True)
class _Document:
    """Parser state: shapes, sizes and names by frame, and the text of the elements in `_TEXT_ELEMENTS`."""

    shapes: dict[int, list[_Shape]] = field(default_factory=dict)
    names: dict[int, str | None] = field(default_factory=dict)
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    element: str = ""
    track: _Track | None = None
    image: int | None = None
    keys: dict[int, KeyMaker] = field(default_factory=dict)

    def start(self, name: str, attributes: Attributes) -> None:
        """Handle the start of an element."""
        self.element = name
        if name == "track":
            self.track = _Track(int(attributes["id"]), read_label(attributes.get("label")))
        elif name == "image":
            self.image = int(attributes["id"])
            self.sizes[self.image] = int(attributes["height"]), int(attributes["width"])
            self.names[self.image] = attributes.get("name")
            self.shapes.setdefault(self.image, [])
        elif name in _SHAPES and attributes.get("outside", "0") != "1":
            frame = int(attributes["frame"]) if self.image is None else self.image
            identity = self._make_key(frame, attributes) if self.track is None else self.track
            self.shapes.setdefault(frame, []).append(_Shape(name, identity, attributes))

    def _make_key(self, frame: int, attributes: Attributes) -> Key:
        group = int(attributes.get("group_id", "0")) or None  # 0 is no group
        return self.keys.setdefault(frame, KeyMaker()).make(read_label(attributes.get("label")), group)

    def end(self, name: str) -> None:
        """Handle the end of an element."""
        self.element = ""
        if name in ("track", "image"):
            self.track = self.image = None

    def text(self, data: str) -> None:
        """Handle text within an element."""
        if self.element in _TEXT_ELEMENTS:
            self.texts[self.element] = self.texts.get(self.element, "") + data

    def all_frames(self) -> list[int]:
        """Return the frames with shapes and the frames of the task's range."""
        if not {"start_frame", "stop_frame"} <= self.texts.keys():
            return sorted(self.shapes)
        step = re.search(r"step=(\d+)", self.texts.get("frame_filter", ""))
        start, stop = int(self.texts["start_frame"]), int(self.texts["stop_frame"])
        frames = range(start, stop + 1, max(1, int(step[1])) if step else 1)
        if stop - start >= MAX_FRAMES * frames.step:
            raise ValueError(f"frames {start} to {stop} are more than {MAX_FRAMES}")
        return sorted({*self.shapes, *frames})


def _parse(path: Path) -> _Document:
    document = _Document()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = document.start, document.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = document.text, _refuse
    with open_input(path) as handle:
        try:
            parser.ParseFile(handle)
        except (expat.ExpatError, ValueError, KeyError) as cause:
            if isinstance(cause, FormatError):
                place = f"{path}, line {parser.CurrentLineNumber}"
                raise FormatError(cause.code, f"{place}: {cause.message}", path=str(path)) from cause
            message = f"{path}: not a CVAT annotation file: {cause}"
            raise FormatError("annotation-broken", message, path=str(path)) from cause
    return document


def _refuse(*declaration: object) -> None:
    raise ValueError("it has a document type declaration")  # entities can expand without bound


def _frames(document: _Document) -> Iterator[TrackedFrame]:
    texts = document.texts
    known: dict[Key, int] = {}
    common = (int(texts["height"]), int(texts["width"])) if {"height", "width"} <= texts.keys() else None
    for frame in document.all_frames():
        size = document.sizes.get(frame, common)
        if size is None:
            raise ValueError(f"the size of frame {frame} is missing")
        shapes = document.shapes.get(frame, [])
        yield build_frame(frame, None, size, [*_masks(shapes, size, known)])


def _masks(shapes: list[_Shape], size: tuple[int, int], known: dict[Key, int]) -> Iterator[ReadMask]:
    """Yield the mask of each shape of a frame. `known` are the numbers of objects in other images."""
    numbers = number_objects((shape.identity for shape in shapes if not isinstance(shape.identity, _Track)), known)
    for shape in shapes:
        identity = shape.identity
        if not isinstance(identity, _Track):
            identity = _Track(numbers[identity], identity[0])
        yield ReadMask(identity.object_id, 1.0, rle.encode(_draw(shape, size)), identity.label)


def _draw(shape: _Shape, size: tuple[int, int]) -> NDArray[np.bool_]:
    if shape.kind == "polygon":
        return rasterize([[pair.split(",") for pair in shape.attributes["points"].split(";")]], size)
    if shape.kind == "box":
        x0, y0, x1, y1 = (float(shape.attributes[side]) for side in ("xtl", "ytl", "xbr", "ybr"))
        return rasterize([[x0, y0, x1, y0, x1, y1, x0, y1]], size)
    return _mask(shape.attributes, size)


def _mask(attributes: Attributes, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode a CVAT mask: runs along rows within a box, background first."""
    left, top, width, height = (int(float(attributes[side])) for side in ("left", "top", "width", "height"))
    runs = np.array([int(run) for run in attributes["rle"].split(",")])
    inside = 0 <= left <= left + width <= size[1] and 0 <= top <= top + height <= size[0]
    if not inside or (runs < 0).any() or runs.sum() != width * height:
        raise ValueError(f"a mask of {width} × {height} pixels at ({left}, {top}) does not fit its box or the image")
    mask = rasterize([], size)
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    mask[top : top + height, left : left + width] = pixels
    return mask
