"""Masks out of CVAT's XML, for videos (tracks) or for pictures: polygons, masks and rectangles."""

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
from masklet.formats.frame_masks import MAX_FRAMES, ReadMask, frame_of
from masklet.masks import rle
from masklet.masks.polygons import rasterize
from masklet.masks.tracked_frame import TrackedFrame

_SHAPES = {"polygon", "mask", "box"}
_TOLD = {"width", "height", "start_frame", "stop_frame", "frame_filter"}

Attributes = Mapping[str, str]


def read(path: Path) -> Iterator[TrackedFrame]:
    """The frames of a CVAT file. An object is a track by its `id`; in pictures, a `group_id` or else a shape by its
    place. Shapes marked as outside are left out. Raises `FormatError`."""
    document = _parsed(path)
    try:
        yield from _frames(document)
    except (ValueError, KeyError, OverflowError) as cause:
        if isinstance(cause, FormatError):
            raise
        raise FormatError("annotation-broken", f"{path}: a shape lacks a part or has a broken one: {cause}") from cause


class _Shape(NamedTuple):
    kind: str
    object_id: int
    attributes: Attributes


@dataclass(slots=True)
class _Document:
    """What is gathered while the file is read: shapes by frame, sizes by frame, and the text of a few elements."""

    shapes: dict[int, list[_Shape]] = field(default_factory=dict)
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    element: str = ""
    track: int | None = None
    picture: int | None = None

    def start(self, name: str, attributes: Attributes) -> None:
        """An element opens."""
        self.element = name
        if name == "track":
            self.track = int(attributes["id"])
        elif name == "image":
            self.picture = int(attributes["id"])
            self.sizes[self.picture] = int(attributes["height"]), int(attributes["width"])
            self.shapes.setdefault(self.picture, [])
        elif name in _SHAPES and attributes.get("outside", "0") != "1":
            frame = int(attributes["frame"]) if self.picture is None else self.picture
            own = self.shapes.setdefault(frame, [])
            group = int(attributes.get("group_id", "0")) or len(own) + 1
            own.append(_Shape(name, group if self.track is None else self.track, attributes))

    def end(self, name: str) -> None:
        """An element closes."""
        self.element = ""
        if name in ("track", "image"):
            self.track = self.picture = None

    def text(self, data: str) -> None:
        """Text within an element."""
        if self.element in _TOLD:
            self.told[self.element] = self.told.get(self.element, "") + data

    def all_frames(self) -> list[int]:
        """The frames with shapes, and those that the file says were tracked."""
        if not {"start_frame", "stop_frame"} <= self.told.keys():
            return sorted(self.shapes)
        step = re.search(r"step=(\d+)", self.told.get("frame_filter", ""))
        start, stop = int(self.told["start_frame"]), int(self.told["stop_frame"])
        frames = range(start, stop + 1, max(1, int(step[1])) if step else 1)
        if stop - start >= MAX_FRAMES * frames.step:
            raise ValueError(f"frames {start} to {stop} are more than {MAX_FRAMES}")
        return sorted({*self.shapes, *frames})


def _parsed(path: Path) -> _Document:
    document = _Document()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = document.start, document.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = document.text, _refuse
    with open_input(path) as handle:
        try:
            parser.ParseFile(handle)
        except (expat.ExpatError, ValueError, KeyError) as cause:
            message = f"{path} is no annotation file of CVAT: {cause}"
            raise FormatError("annotation-broken", message, path=str(path)) from cause
    return document


def _refuse(*declaration: object) -> None:
    raise ValueError("it declares a document type, which no annotation needs")  # entities could grow without end


def _frames(document: _Document) -> Iterator[TrackedFrame]:
    told = document.told
    common = (int(told["height"]), int(told["width"])) if {"height", "width"} <= told.keys() else None
    for frame in document.all_frames():
        size = document.sizes.get(frame, common)
        if size is None:
            raise ValueError(f"the size of frame {frame} is not told")
        shapes = document.shapes.get(frame, [])
        masks = [ReadMask(shape.object_id, 1.0, rle.encode(_draw(shape, size))) for shape in shapes]
        yield frame_of(frame, None, size, masks)


def _draw(shape: _Shape, size: tuple[int, int]) -> NDArray[np.bool_]:
    if shape.kind == "polygon":
        return rasterize([[pair.split(",") for pair in shape.attributes["points"].split(";")]], size)
    if shape.kind == "box":
        x0, y0, x1, y1 = (float(shape.attributes[side]) for side in ("xtl", "ytl", "xbr", "ybr"))
        return rasterize([[x0, y0, x1, y0, x1, y1, x0, y1]], size)
    return _mask(shape.attributes, size)


def _mask(attributes: Attributes, size: tuple[int, int]) -> NDArray[np.bool_]:
    """CVAT's own masks: runs along rows within a box, background first."""
    left, top, width, height = (int(float(attributes[side])) for side in ("left", "top", "width", "height"))
    runs = np.array([int(run) for run in attributes["rle"].split(",")])
    inside = 0 <= left <= left + width <= size[1] and 0 <= top <= top + height <= size[0]
    if not inside or (runs < 0).any() or runs.sum() != width * height:
        raise ValueError(f"a mask of {width} × {height} pixels at ({left}, {top}) does not fill its box or the picture")
    mask = rasterize([], size)
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    mask[top : top + height, left : left + width] = pixels
    return mask
