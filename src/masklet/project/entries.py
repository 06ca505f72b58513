"""Entries of a project: images and videos, classes, objects and prompts, as they are stored in JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal, TypeVar

from masklet.errors import FormatError, PromptError
from masklet.files.error_translation import translate_errors
from masklet.files.json_fields import Fields
from masklet.prompts import MAX_POINTS, Prompt, box, check_label, clicks

PROJECT_KEY = "project"
JsonObject = Mapping[str, Any]

_COLOR = re.compile(r"#[0-9a-f]{6}")
_KEY = re.compile(r"(media|class)/([1-9]\d{0,9})|(object)/([1-9]\d{0,9})/([1-9]\d{0,9})|"
                  r"(prompt)/([1-9]\d{0,9})/([1-9]\d{0,9})/(0|[1-9]\d{0,9})")  # fmt: skip

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Medium:
    """Image or video of a project.

    Attributes:
        path: Path of the file or folder, relative to the project's folder or absolute.
        kind: "image" or "video".
        size: Size (H, W).
        frames: Number of frames; 1 for an image.
        times: Time of the first frame in seconds and frames per second; None for an image and where they are not known.
        checked: Whether the user marked it as checked.

    Raises:
        FormatError: `project-broken`. A value is invalid.
    """

    path: str
    kind: Literal["image", "video"]
    size: tuple[int, int]
    frames: int = 1
    times: tuple[float, float] | None = None
    checked: bool = False

    def __post_init__(self) -> None:
        _require(bool(self.path) and "\0" not in self.path, "path of a medium", self.path, "a path")
        _require(self.kind in ("image", "video"), "kind of a medium", self.kind, "image or video")
        _require(len(self.size) == 2 and min(self.size) >= 1, "size of a medium", self.size, "[height, width]")
        _require(self.frames >= 1 and (self.kind == "video" or self.frames == 1), "frames", self.frames, "at least 1")
        valid = self.times is None or (len(self.times) == 2 and all(map(isfinite, self.times)) and self.times[1] > 0)
        _require(valid, "times of a medium", self.times, "null or [start, frames per second]")

    @classmethod
    def from_json(cls, value: Any, name: object = "media") -> Medium:
        """Read the entry. Raises `FormatError` (`project-broken`)."""
        with _name_project_errors():
            fields = Fields(value, name)
            kind: Any = fields.text("kind")
            times = None if fields.get("times") is None else _numbers(fields, "times")
            return cls(
                fields.text("path"),
                kind,
                tuple(fields.integers("size")),  # type: ignore[arg-type]
                fields.integer("frames", 1),
                times,  # type: ignore[arg-type]
                _boolean(fields, "checked"),
            )

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON."""
        return {
            "path": self.path,
            "kind": self.kind,
            "size": [*self.size],
            "frames": self.frames,
            "times": None if self.times is None else [*self.times],
            "checked": self.checked,
        }


@dataclass(frozen=True, slots=True)
class ObjectClass:
    """Class of objects.

    Attributes:
        name: Its name, which is the label of its objects in exported files.
        color: "#rrggbb".
        attributes: Names of the attributes that its objects have.
        digit: Digit key from 1 to 9 that selects it, or None.

    Raises:
        FormatError: `project-broken`. A value is invalid.
    """

    name: str
    color: str
    attributes: tuple[str, ...] = ()
    digit: int | None = None

    def __post_init__(self) -> None:
        _check_name(self.name, "name of a class")
        _require(_COLOR.fullmatch(self.color) is not None, "color of a class", self.color, "#rrggbb")
        for name in self.attributes:
            _check_name(name, "attribute of a class")
        _require(self.digit is None or 1 <= self.digit <= 9, "digit of a class", self.digit, "null or 1 to 9")

    @classmethod
    def from_json(cls, value: Any, name: object = "class") -> ObjectClass:
        """Read the entry. Raises `FormatError` (`project-broken`)."""
        with _name_project_errors():
            fields = Fields(value, name)
            digit = None if fields.get("digit") is None else fields.integer("digit")
            attributes = () if fields.get("attributes") is None else _texts(fields, "attributes")
            return cls(fields.text("name"), fields.text("color"), attributes, digit)

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON."""
        return {"name": self.name, "color": self.color, "attributes": [*self.attributes], "digit": self.digit}


@dataclass(frozen=True, slots=True)
class ProjectObject:
    """Object in an image or video.

    Attributes:
        name: Its name; may be empty.
        class_id: Its class, or None.
        color: "#rrggbb".
        hidden: Whether its masks are shown.
        locked: Whether it is protected from changes.
        attributes: Text by name of the attribute.

    Raises:
        FormatError: `project-broken`. A value is invalid.
    """

    name: str
    class_id: int | None
    color: str
    hidden: bool = False
    locked: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name:
            _check_name(self.name, "name of an object")
        _require(self.class_id is None or self.class_id >= 1, "class of an object", self.class_id, "null or a class")
        _require(_COLOR.fullmatch(self.color) is not None, "color of an object", self.color, "#rrggbb")
        texts = all(isinstance(part, str) for item in self.attributes.items() for part in item)
        _require(texts, "attributes of an object", self.attributes, "text by name")

    @classmethod
    def from_json(cls, value: Any, name: object = "object") -> ProjectObject:
        """Read the entry. Raises `FormatError` (`project-broken`)."""
        with _name_project_errors():
            fields = Fields(value, name)
            return cls(
                fields.text("name", ""),
                None if fields.get("class") is None else fields.integer("class"),
                fields.text("color"),
                _boolean(fields, "hidden"),
                _boolean(fields, "locked"),
                {} if fields.get("attributes") is None else dict(fields.object("attributes").value),
            )

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON."""
        return {
            "name": self.name,
            "class": self.class_id,
            "color": self.color,
            "hidden": self.hidden,
            "locked": self.locked,
            "attributes": dict(self.attributes),
        }


@dataclass(frozen=True, slots=True)
class PromptEntry:
    """Clicks and box of an object on a frame.

    Attributes:
        points: Points (x, y, label) in pixels of the frame; the label is 1 on the object and 0 elsewhere.
        box: Box (x0, y0, x1, y1), or None.
        candidate: Which of the three candidate masks of one click the user chose; None for the best.

    Raises:
        FormatError: `project-broken`. A value is invalid.
    """

    points: tuple[tuple[float, float, int], ...] = ()
    box: tuple[float, float, float, float] | None = None
    candidate: int | None = None

    def __post_init__(self) -> None:
        valid = all(len(point) == 3 and all(map(isfinite, point)) and point[2] in (0, 1) for point in self.points)
        _require(valid and len(self.points) <= MAX_POINTS, "points of a prompt", self.points, "[[x, y, 0 or 1], …]")
        corners = self.box
        valid = corners is None or (len(corners) == 4 and all(map(isfinite, corners)))
        valid = valid and (corners is None or (corners[0] < corners[2] and corners[1] < corners[3]))
        _require(valid, "box of a prompt", corners, "null or [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
        _require(bool(self.points) or corners is not None, "prompt", self.points, "at least one point or a box")
        _require(self.candidate in (None, 0, 1, 2), "candidate of a prompt", self.candidate, "null, 0, 1 or 2")

    @classmethod
    def from_json(cls, value: Any, name: object = "prompt") -> PromptEntry:
        """Read the entry. Raises `FormatError` (`project-broken`)."""
        with _name_project_errors():
            fields = Fields(value, name)
            rows = [tuple(map(_to_number, row)) for row in fields.arrays("points")]
            points = tuple((*row[:2], int(row[2])) if len(row) == 3 else row for row in rows)
            corners = None if fields.get("box") is None else _numbers(fields, "box")
            candidate = None if fields.get("candidate") is None else fields.integer("candidate")
            return cls(points, corners, candidate)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON."""
        return {
            "points": [[*point] for point in self.points],
            "box": None if self.box is None else [*self.box],
            "candidate": self.candidate,
        }

    def to_prompt(self) -> Prompt:
        """Return the prompt that a model takes. Raises `PromptError`."""
        points = [point[:2] for point in self.points]
        parts = [] if self.box is None else [box(*self.box)]
        parts += [clicks(points, [point[2] for point in self.points])] if points else []
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def media_key(medium: int) -> str:
    """Return the key of an image or video."""
    return f"media/{medium}"


def class_key(class_id: int) -> str:
    """Return the key of a class."""
    return f"class/{class_id}"


def object_key(medium: int, object_id: int) -> str:
    """Return the key of an object."""
    return f"object/{medium}/{object_id}"


def prompt_key(medium: int, object_id: int, frame: int) -> str:
    """Return the key of a prompt."""
    return f"prompt/{medium}/{object_id}/{frame}"


def parse_key(key: str) -> tuple[str, tuple[int, ...]]:
    """Return the kind of a key, such as "object", and its numbers. Raises `FormatError` (`project-broken`)."""
    if key == PROJECT_KEY:
        return key, ()
    match = _KEY.fullmatch(key)
    if match is None:
        raise FormatError("project-broken", f"a project has no entry {key!r:.60}")
    kind, *numbers = (part for part in match.groups() if part is not None)
    return kind, tuple(map(int, numbers))


def parse_entry(key: str, value: Any) -> Any:
    """Return an entry as a value of its class, the name for `project`. Raises `FormatError` (`project-broken`)."""
    kind, _ = parse_key(key)
    return _PARSERS[kind](value, key)


def entry_to_json(value: Any) -> dict[str, Any] | None:
    """Return a value of `parse_entry` as JSON; None for None."""
    if value is None:
        return None
    return {"name": value} if isinstance(value, str) else value.to_json()


def _parse_project(value: Any, name: object) -> str:
    with _name_project_errors():
        return Fields(value, name).text("name")


_PARSERS: dict[str, Callable[[Any, object], Any]] = {
    PROJECT_KEY: _parse_project,
    "media": Medium.from_json,
    "class": ObjectClass.from_json,
    "object": ProjectObject.from_json,
    "prompt": PromptEntry.from_json,
}


def _name_project_errors() -> Any:
    """Return a context in which errors of fields have the code `project-broken`."""
    return translate_errors(FormatError, into=lambda error: FormatError("project-broken", error.message))


def _require(valid: bool, what: str, value: object, expected: str) -> None:
    if not valid:
        raise FormatError("project-broken", f"the {what} must be {expected}, got {value!r:.60}")


def _check_name(name: str, what: str) -> None:
    try:
        check_label(name)
    except PromptError as error:
        raise FormatError("project-broken", f"{what}: {error.message}") from error


def _boolean(fields: Fields, name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool | None):
        raise fields.error(f"{name!r} must be true or false, got {value!r:.60}")
    return bool(value)


def _numbers(fields: Fields, name: str) -> tuple[float, ...]:
    return tuple(map(_to_number, fields.array(name)))


def _to_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormatError("project-broken", f"expected a number, got {value!r:.60}")
    return value


def _texts(fields: Fields, name: str) -> tuple[str, ...]:
    values = fields.array(name)
    if not all(isinstance(value, str) for value in values):
        raise fields.error(f"{name!r} must be a list of texts")
    return tuple(values)
