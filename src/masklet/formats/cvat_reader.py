"""CVAT XML reader: polygons, masks, rectangles and ellipses of videos (tracks) and images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.files.json_fields import name_errors
from masklet.files.open_input import open_input
from masklet.formats.frame_masks import MAX_FRAMES, ReadMask, build_frame, check_size
from masklet.formats.object_numbers import Key, KeyMaker, count_from_one, number_objects
from masklet.formats.skipped import SkippedAnnotations
from masklet.masks import rle
from masklet.masks.cvat_shapes import decode_runs
from masklet.masks.labels import read_label
from masklet.masks.polygons import rasterize
from masklet.masks.tracked_frame import TrackedFrame

_SHAPES = frozenset({"polygon", "mask", "box", "ellipse"})
_NO_AREAS = frozenset({"points", "polyline", "skeleton", "cuboid", "tag"})
_META_TEXTS = frozenset({"id", "width", "height", "start_frame", "stop_frame", "frame_filter"})
_TASKS = frozenset({"task", "job"})  # what a file may be an export of, beside a project of several tasks
_ELLIPSE_VERTICES = 64  # of the polygon that approximates an ellipse
_MAX_COORDINATE_PX = 2**31

Attributes = Mapping[str, str]


def read(path: Path) -> Iterator[TrackedFrame]:
    """Read the frames of a CVAT file.

    In a video an object is a track, by its `id`; ids that begin below 1 are raised to begin at 1. In images, shapes
    with the same label and the same `group_id` are one object, and a shape without a group is an object of its own. The
    label is None if it is `UNLABELED`. Shapes marked as outside are not visible. Points, polylines, skeletons, cuboids
    and tags have no area and are skipped with a warning, as shapes that are broken. If none can be read, the first
    error is raised. Raises `FormatError`.
    """
    skipped = SkippedAnnotations(path, "shape")
    document = _parse(path, skipped)
    return skipped.report(_frames(path, document, skipped))


def read_image_names(path: Path) -> list[str | None]:
    """Read the names of the images of a CVAT file in the order of `read`; none of a video. Raises `FormatError`."""
    document = _parse(path, SkippedAnnotations(path))
    return [document.names.get(frame) for frame in document.all_frames()] if document.names else []


class _Track(NamedTuple):
    """A track: the id that the file gives it, its label, and its position among the tracks of the file."""

    track_id: int
    label: str | None
    position: int


class _Shape(NamedTuple):
    """A shape, its place in the file, and its track; in images, the key of its object."""

    kind: str
    identity: _Track | Key
    attributes: Attributes
    place: str


@dataclass(slots=True)
class _Document:
    """Parser state: shapes, sizes and names by frame, and the texts about each task by their element."""

    path: Path
    parser: expat.XMLParserType
    skipped: SkippedAnnotations
    shapes: dict[int, list[_Shape]] = field(default_factory=dict)
    names: dict[int, str | None] = field(default_factory=dict)
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    tasks: list[dict[str, str]] = field(default_factory=list)
    task_ids: set[str] = field(default_factory=set)
    elements: list[str] = field(default_factory=list)
    tracks: list[_Track] = field(default_factory=list)
    track: _Track | None = None
    image: int | None = None
    ignored: str = ""  # the element whose content is not read
    keys: dict[int, KeyMaker] = field(default_factory=dict)

    def start(self, name: str, attributes: Attributes) -> None:
        """Handle the start of an element."""
        if not self.elements and name != "annotations":
            raise ValueError(f"its root element is <{name}>, not <annotations>")
        self.elements.append(name)
        if self.ignored:
            return
        if name in _TASKS:
            self.tasks.append({})
        elif name in ("track", "image"):
            self._start_owner(name, attributes)
        elif (name in _SHAPES or name in _NO_AREAS) and self._is_in_annotations():
            self._add_shape(name, attributes)

    def _start_owner(self, name: str, attributes: Attributes) -> None:
        """Handle the start of a track or an image. A broken one is skipped with its shapes."""
        try:
            if name == "track":
                self.track = self._start_track(attributes)
            else:
                self._start_image(attributes)
            self.task_ids.add(attributes.get("task_id", ""))
        except (FormatError, ValueError, KeyError) as cause:
            self.ignored = name
            self.skipped.add_broken(self._error(cause))

    def _start_track(self, attributes: Attributes) -> _Track:
        track = _Track(_to_integer(attributes["id"]), read_label(attributes.get("label")), len(self.tracks))
        self.tracks.append(track)
        return track

    def _start_image(self, attributes: Attributes) -> None:
        size = check_size((_to_integer(attributes["height"]), _to_integer(attributes["width"])))
        # In a project, the images of each task are numbered from 0.
        frame = _to_integer(attributes["id"])
        self.image = frame if frame not in self.names and frame >= 0 else max(self.names, default=-1) + 1
        self.sizes[self.image] = size
        self.names[self.image] = attributes.get("name")
        self.shapes.setdefault(self.image, [])

    def _add_shape(self, name: str, attributes: Attributes) -> None:
        if name == "skeleton":
            self.ignored = name  # its points are parts of it
        if attributes.get("outside", "0") == "1":
            return
        if name in _NO_AREAS:
            self.skipped.add(f"of type {name}")
            return
        try:
            frame = _to_integer(attributes["frame"]) if self.image is None else self.image
            identity = self._make_key(frame, attributes) if self.track is None else self.track
            shape = _Shape(name, identity, attributes, self._place())
            self.shapes.setdefault(frame, []).append(shape)
        except (FormatError, ValueError, KeyError) as cause:
            self.skipped.add_broken(self._error(cause))

    def _make_key(self, frame: int, attributes: Attributes) -> Key:
        text = attributes.get("group_id") or "0"
        group = _to_integer(text) or None  # 0 is no group
        return self.keys.setdefault(frame, KeyMaker()).make(read_label(attributes.get("label")), group)

    def _is_in_annotations(self) -> bool:
        return "meta" not in self.elements

    def _error(self, cause: Exception) -> FormatError:
        return _make_error(self._place(), cause)

    def _place(self) -> str:
        return f"{self.path}, line {self.parser.CurrentLineNumber}"

    def end(self, name: str) -> None:
        """Handle the end of an element."""
        self.elements.pop()
        if name == self.ignored:
            self.ignored = ""
        if name in ("track", "image"):
            self.track = self.image = None

    def text(self, data: str) -> None:
        """Handle text within an element."""
        name = self.elements[-1] if self.elements else ""
        if name in _META_TEXTS and "meta" in self.elements:
            nested = any(element in self.elements for element in ("labels", "segments", "owner"))
            if not nested and (self.tasks or name != "id"):  # the id of a project comes before its tasks
                task = self.tasks[-1] if self.tasks else self._add_task()
                task[name] = task.get(name, "") + data

    def _add_task(self) -> dict[str, str]:
        self.tasks.append({})
        return self.tasks[-1]

    def find_task(self) -> dict[str, str]:
        """Return the texts about the task of the tracks. Raises `ValueError` if they are of several tasks."""
        used = self.task_ids - {""}
        if self.names or not any(self.tasks):
            return {}
        tasks = [task for task in self.tasks if task]
        if len(used) > 1 or (not used and len(tasks) > 1):
            raise ValueError(f"it has {len(used) or len(tasks)} videos; export each task of the project alone")
        return next((task for task in tasks if task.get("id") in used), tasks[0])

    def all_frames(self) -> list[int]:
        """Return the frames with shapes and the frames of the task's range."""
        texts = self.find_task()
        if not {"start_frame", "stop_frame"} <= texts.keys():
            return sorted(self.shapes)
        step = re.search(r"step=(\d+)", texts.get("frame_filter", ""))
        start, stop = int(texts["start_frame"]), int(texts["stop_frame"])
        frames = range(start, stop + 1, max(1, int(step[1])) if step else 1)
        if stop - start >= MAX_FRAMES * frames.step:
            raise ValueError(f"frames {start} to {stop} are more than {MAX_FRAMES}")
        return sorted({*self.shapes, *frames})


def _to_integer(text: str) -> int:
    number = float(text)
    if not number.is_integer():  # also infinity and NaN
        raise ValueError(f"{text[:60]!r} must be a whole number")
    return int(number)


def _make_error(place: str, cause: Exception) -> FormatError:
    """Return the error of a shape: `cause` is a `FormatError`, or the error of a missing or broken attribute."""
    if isinstance(cause, FormatError):
        return FormatError(cause.code, f"{place}: {cause.message}")
    reason = f"it has no {cause}" if isinstance(cause, KeyError) else str(cause)
    return FormatError("annotation-broken", f"{place}: {reason}")


def _parse(path: Path, skipped: SkippedAnnotations) -> _Document:
    parser = expat.ParserCreate()
    document = _Document(path, parser, skipped)
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = document.start, document.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = document.text, _refuse
    with open_input(path) as handle:
        try:
            parser.ParseFile(handle)
        except (expat.ExpatError, ValueError, LookupError) as cause:  # LookupError: an unknown encoding
            message = f"{path}: not a CVAT annotation file: {cause}"
            raise FormatError("annotation-broken", message, path=str(path)) from cause
    return document


def _refuse(*declaration: object) -> None:
    raise ValueError("it has a document type declaration")  # entities can expand without bound


def _frames(path: Path, document: _Document, skipped: SkippedAnnotations) -> Iterator[TrackedFrame]:
    try:
        frames, texts = document.all_frames(), document.find_task()
        sized = {"height", "width"} <= texts.keys()
        common = check_size((_to_integer(texts["height"]), _to_integer(texts["width"]))) if sized else None
        missing = next((frame for frame in frames if frame not in document.sizes), None)
        if common is None and missing is not None:
            raise ValueError(f"the size of frame {missing} is missing")
    except (ValueError, OverflowError) as cause:
        if isinstance(cause, FormatError):
            raise FormatError(cause.code, f"{path}: {cause.message}", path=str(path)) from cause
        raise FormatError("annotation-broken", f"{path}: {cause}", path=str(path)) from cause
    known: dict[Key, int] = {}
    track_numbers = _number_tracks(document)
    for frame in frames:
        size = document.sizes.get(frame, common)
        assert size is not None, "checked above"
        masks = [*_masks(document.shapes.get(frame, []), size, known, track_numbers, skipped)]
        with name_errors(path):
            yield build_frame(frame, None, size, masks)


def _number_tracks(document: _Document) -> dict[_Track, int]:
    """Return the object id of each track.

    Tracks of one id are one object if they have the same label and no frame in common. Others get numbers of their own.
    """
    frames: dict[_Track, set[int]] = {track: set() for track in document.tracks}
    for frame, shapes in document.shapes.items():
        for shape in shapes:
            if isinstance(shape.identity, _Track):
                frames[shape.identity].add(frame)
    ids = count_from_one(track.track_id for track in document.tracks)
    new_numbers = count(max(ids.values(), default=0) + 1)
    numbers: dict[_Track, int] = {}
    objects: dict[int, tuple[str | None, set[int]]] = {}  # label and frames by number
    numbers_of_id: dict[int, list[int]] = {}
    for track in document.tracks:
        candidates = numbers_of_id.setdefault(track.track_id, [])
        matching = (n for n in candidates if objects[n][0] == track.label and not objects[n][1] & frames[track])
        number = next(matching, None)
        if number is None:
            number = next(new_numbers) if candidates else ids[track.track_id]
            candidates.append(number)
            objects[number] = track.label, set()
        objects[number][1].update(frames[track])
        numbers[track] = number
    return numbers


def _masks(
    shapes: list[_Shape],
    size: tuple[int, int],
    known: dict[Key, int],
    track_numbers: Mapping[_Track, int],
    skipped: SkippedAnnotations,
) -> Iterator[ReadMask]:
    """Yield the mask of each shape of a frame. `known` are the numbers of objects in other images."""
    numbers = number_objects((shape.identity for shape in shapes if not isinstance(shape.identity, _Track)), known)
    for shape in shapes:
        identity = shape.identity
        if isinstance(identity, _Track):
            number, label = track_numbers[identity], identity.label
        else:
            number, label = numbers[identity], identity[0]
        try:
            mask = _draw(shape, size)
        except (FormatError, ValueError, KeyError, OverflowError) as cause:
            skipped.add_broken(_make_error(shape.place, cause))
            continue
        skipped.add_readable()
        yield ReadMask(number, 1.0, rle.encode(mask), label)


def _draw(shape: _Shape, size: tuple[int, int]) -> NDArray[np.bool_]:
    if shape.kind == "polygon":
        return rasterize([[pair.split(",") for pair in shape.attributes["points"].strip("; ").split(";")]], size)
    if shape.kind == "box":
        x0, y0, x1, y1 = _read_numbers(shape.attributes, "xtl", "ytl", "xbr", "ybr")
        corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        return rasterize([_rotate(corners, shape.attributes)], size)
    if shape.kind == "ellipse":
        x, y, rx, ry = _read_numbers(shape.attributes, "cx", "cy", "rx", "ry")
        angles = np.linspace(0, 2 * np.pi, _ELLIPSE_VERTICES, endpoint=False)
        outline = np.array([x, y]) + np.stack([rx * np.cos(angles), ry * np.sin(angles)], axis=1)
        return rasterize([_rotate(outline, shape.attributes)], size)
    return _mask(shape.attributes, size)


def _read_numbers(attributes: Attributes, *names: str) -> list[float]:
    numbers = [float(attributes[name]) for name in names]
    if not all(abs(number) < _MAX_COORDINATE_PX for number in numbers):  # false for NaN
        raise ValueError(f"{', '.join(names)} must be finite numbers, got {numbers}")
    return numbers


def _rotate(outline: NDArray[np.float64], attributes: Attributes) -> NDArray[np.float64]:
    """Rotate an outline clockwise, in degrees, about the middle of its extent, as CVAT does."""
    (rotation,) = _read_numbers({"rotation": attributes.get("rotation") or "0"}, "rotation")
    if not rotation:
        return outline
    center = (outline.min(axis=0) + outline.max(axis=0)) / 2
    sine, cosine = np.sin(np.deg2rad(rotation)), np.cos(np.deg2rad(rotation))
    x, y = (outline - center).T
    return np.asarray(center + np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=1))


def _mask(attributes: Attributes, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode a CVAT mask: runs along rows within a box, background first."""
    left, top, width, height = (int(float(attributes[side])) for side in ("left", "top", "width", "height"))
    if not (0 <= left <= left + width <= size[1] and 0 <= top <= top + height <= size[0]):
        raise ValueError(f"a mask of {width} × {height} pixels at ({left}, {top}) does not fit the image")
    mask = rasterize([], size)
    runs = [int(run) for run in attributes["rle"].split(",")]
    mask[top : top + height, left : left + width] = decode_runs(runs, (height, width))
    return mask
