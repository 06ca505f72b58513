"""Parts of annotation files, checked as they are read: JSON texts, their fields, masks gathered by frame."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from masklet.errors import FormatError
from masklet.files.open_input import open_input
from masklet.masks import Masks
from masklet.propagate import TrackedFrame


class ReadMask(NamedTuple):
    """One object's mask as a run-length code."""

    object_id: int
    score: float
    code: Mapping[str, Any]


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises `InputNotFound`, or `FormatError` for what is no JSON."""
    with open_input(path) as handle:
        try:
            return json.load(handle)
        except (ValueError, RecursionError) as cause:
            reason = "it nests too deeply" if isinstance(cause, RecursionError) else str(cause)
            raise FormatError("annotation-broken", f"{path} is no JSON: {reason}", path=str(path)) from cause


class Fields:
    """A JSON object whose fields must be there and of their kind, else `FormatError` names the field and the file."""

    def __init__(self, value: Any, path: Path) -> None:
        self._path = path
        if not isinstance(value, dict):
            raise self._broken(f"expected an object with fields, got {type(value).__name__}")
        self._value = value

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number."""
        value = self._value.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._broken(f"{name!r} must be a whole number, got {value!r:.60}")
        return value

    def number(self, name: str, default: float) -> float:
        """A finite number."""
        value = self._value.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
            raise self._broken(f"{name!r} must be a number, got {value!r:.60}")
        return float(value)

    def rows(self, name: str) -> list[Any]:
        """A list."""
        value = self._value.get(name)
        if not isinstance(value, list):
            raise self._broken(f"{name!r} must be a list, got {type(value).__name__}")
        return value

    def inner(self, name: str) -> Fields:
        """An object within the object."""
        return Fields(self._value.get(name), self._path)

    def each(self, name: str) -> Iterator[Fields]:
        """A list of objects."""
        return (Fields(row, self._path) for row in self.rows(name))

    @property
    def names(self) -> set[str]:
        """The names of all fields."""
        return set(self._value)

    def get(self, name: str) -> Any:
        """Whatever is there, or None."""
        return self._value.get(name)

    def _broken(self, message: str) -> FormatError:
        return FormatError("annotation-broken", f"{self._path}: {message}", path=str(self._path))


def frame_of(index: int, time: float | None, size: tuple[int, int], masks: Sequence[ReadMask]) -> TrackedFrame:
    """A frame of masks that were read; several of one object become one."""
    if not masks:
        return TrackedFrame(index, time, Masks.empty(size))
    codes = [mask.code for mask in masks]
    found = Masks.from_rle(codes, object_ids=[mask.object_id for mask in masks], scores=[mask.score for mask in masks])
    if found.size != size:
        raise FormatError("annotation-broken", f"frame {index} has size {size}, its masks {found.size}")
    return TrackedFrame(index, time, united(found))


def united(masks: Masks) -> Masks:
    """The masks with each object once: its parts together, with the first one's score."""
    object_ids = list(dict.fromkeys(masks.object_ids))
    if len(object_ids) == len(masks):
        return masks
    parts = [masks.of(object_id) for object_id in object_ids]
    binary = [part.binary.any(axis=0) for part in parts]
    return Masks.from_binary(np.stack(binary), object_ids=object_ids, scores=[part.scores[0] for part in parts])
