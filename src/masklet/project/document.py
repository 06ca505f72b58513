"""Document of a project: its entries and cells as they are now."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from masklet.errors import PromptError
from masklet.project.cells import Cell, CellKey, CellTable
from masklet.project.entries import (
    PROJECT_KEY,
    Medium,
    ObjectClass,
    ProjectObject,
    PromptEntry,
    entry_to_json,
    parse_entry,
    parse_key,
)


class Document:
    """Entries and cells of a project, to be read. `Project.act` changes them.

    Threads that read several values that must fit together hold `lock`.

    Attributes:
        lock: Held while the document changes.
        cells: The cells.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.cells = CellTable()
        self._entries: dict[str, Mapping[str, Any]] = {}
        self._values: dict[str, dict[tuple[int, ...], Any]] = {
            kind: {} for kind in (PROJECT_KEY, "media", "class", "object", "prompt")
        }
        self._prompts: dict[tuple[int, int], dict[int, PromptEntry]] = {}
        self._objects: dict[int, dict[int, ProjectObject]] = {}

    @property
    def name(self) -> str:
        """Name of the project."""
        name: str = self._values[PROJECT_KEY].get((), "project")
        return name

    @property
    def entries(self) -> dict[str, Mapping[str, Any]]:
        """All entries as JSON, by key."""
        with self.lock:
            return dict(self._entries)

    def entry(self, key: str) -> Mapping[str, Any] | None:
        """Return an entry as JSON, or None."""
        return self._entries.get(key)

    def media(self) -> dict[int, Medium]:
        """Return the images and videos by number, ascending."""
        with self.lock:
            return {key[0]: value for key, value in sorted(self._values["media"].items())}

    def medium(self, medium: int) -> Medium:
        """Return an image or video. Raises `PromptError` (`unknown-object`) if there is none of that number."""
        found: Medium | None = self._values["media"].get((medium,))
        if found is None:
            raise PromptError("unknown-object", f"the project has no image or video {medium}")
        return found

    def classes(self) -> dict[int, ObjectClass]:
        """Return the classes by number, ascending."""
        with self.lock:
            return {key[0]: value for key, value in sorted(self._values["class"].items())}

    def objects_of(self, medium: int) -> dict[int, ProjectObject]:
        """Return the objects of an image or video by number, ascending."""
        with self.lock:
            return dict(sorted(self._objects.get(medium, {}).items()))

    def object_of(self, medium: int, object_id: int) -> ProjectObject:
        """Return an object. Raises `PromptError` (`unknown-object`) if there is none of that number."""
        found = self._objects.get(medium, {}).get(object_id)
        if found is None:
            raise PromptError("unknown-object", f"image or video {medium} has no object {object_id}")
        return found

    def prompts_of(self, medium: int, object_id: int) -> dict[int, PromptEntry]:
        """Return the prompts of an object by frame, ascending."""
        with self.lock:
            return dict(sorted(self._prompts.get((medium, object_id), {}).items()))

    def prompt(self, medium: int, object_id: int, frame: int) -> PromptEntry | None:
        """Return the prompt of an object on a frame, or None."""
        return self._prompts.get((medium, object_id), {}).get(frame)

    def cell(self, medium: int, object_id: int, frame: int) -> Cell | None:
        """Return a cell, or None."""
        with self.lock:
            return self.cells.get(medium, object_id, frame)

    def cells_at(self, medium: int, frame: int) -> dict[int, Cell]:
        """Return the cells of a frame by object, ascending."""
        with self.lock:
            objects = self.objects_of(medium)
            found = {object_id: self.cells.get(medium, object_id, frame) for object_id in objects}
            return {object_id: cell for object_id, cell in found.items() if cell is not None}

    def label_of(self, medium: int, object_id: int) -> str | None:
        """Return the name of an object's class, its label in exported files, or None."""
        class_id = self.object_of(medium, object_id).class_id
        found: ObjectClass | None = None if class_id is None else self._values["class"].get((class_id,))
        return None if found is None else found.name

    def new_medium(self) -> int:
        """Return the number of the next image or video."""
        with self.lock:
            return max((key[0] for key in self._values["media"]), default=0) + 1

    def new_class(self) -> int:
        """Return the number of the next class."""
        with self.lock:
            return max((key[0] for key in self._values["class"]), default=0) + 1

    def new_object(self, medium: int) -> int:
        """Return the number of the next object of an image or video."""
        with self.lock:
            return max(self._objects.get(medium, {}), default=0) + 1

    def apply(self, changes: Mapping[str, Any], cells: Mapping[CellKey, Cell | None]) -> None:
        """Set or remove entries, which are checked before any of them changes, and cells.

        Raises:
            FormatError: `project-broken`. An entry is invalid.
        """
        parsed = {key: None if value is None else parse_entry(key, value) for key, value in changes.items()}
        with self.lock:
            for key, value in parsed.items():
                self._set(key, value)
            for cell_key, cell in cells.items():
                self.cells.set(cell_key, cell)

    def _set(self, key: str, value: Any) -> None:
        kind, numbers = parse_key(key)
        _set_or_remove(self._entries, key, entry_to_json(value))
        _set_or_remove(self._values[kind], numbers, value)
        if kind == "object":
            _set_or_remove(self._objects.setdefault(numbers[0], {}), numbers[1], value)
        elif kind == "prompt":
            _set_or_remove(self._prompts.setdefault((numbers[0], numbers[1]), {}), numbers[2], value)


def _set_or_remove(values: dict[Any, Any], key: Any, value: Any) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value
