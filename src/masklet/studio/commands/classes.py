"""Commands for classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from masklet.errors import MaskletError, PromptError
from masklet.project.classes_of_labels import make_color
from masklet.project.entries import class_key, object_key
from masklet.studio.connection import Client
from masklet.studio.workspace import Workspace, check_entry


class ClassFields(TypedDict, total=False):
    """Fields of a class."""

    name: str
    color: str
    attributes: list[str]
    digit: int | None


class ClassCommands:
    """Commands for classes."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def add_class(self, client: Client, *, fields: ClassFields) -> dict[str, Any]:
        """Add a class."""
        workspace = self._workspace
        if "name" not in fields:
            raise MaskletError("bad-request", "/fields/name is missing")
        with workspace.project.lock:
            class_id = workspace.document.new_class()
            entry = {"color": make_color(class_id), "attributes": [], "digit": None, **fields}
            return {"class": class_id, "seq": workspace.project.act("add_class", self._make(class_id, entry)).seq}

    def change_class(self, client: Client, *, class_id: int, fields: ClassFields) -> dict[str, Any]:
        """Change fields of a class. Another class with its digit loses it."""
        workspace = self._workspace
        with workspace.project.lock:
            entry = {**self._get(class_id), **fields}
            return {"class": class_id, "seq": workspace.project.act("change_class", self._make(class_id, entry)).seq}

    def remove_class(self, client: Client, *, class_id: int) -> dict[str, Any]:
        """Remove a class. Its objects have none then."""
        workspace = self._workspace
        with workspace.project.lock:
            self._get(class_id)
            entries: dict[str, Any] = {class_key(class_id): None}
            for medium in workspace.document.media():
                for object_id, one in workspace.document.objects_of(medium).items():
                    if one.class_id == class_id:
                        entries[object_key(medium, object_id)] = {**one.to_json(), "class": None}
            return {"class": class_id, "seq": workspace.project.act("remove_class", entries).seq}

    def _get(self, class_id: int) -> dict[str, Any]:
        classes = self._workspace.document.classes()
        if class_id not in classes:
            raise PromptError("unknown-object", f"the project has no class {class_id}")
        return classes[class_id].to_json()

    def _make(self, class_id: int, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entry of a class by key, with those of other classes that lose their digit."""
        entries = {class_key(class_id): check_entry(class_key(class_id), entry)}
        for other_id, other in self._workspace.document.classes().items():
            if other_id == class_id:
                continue
            if other.name == entry["name"].strip():
                raise MaskletError(
                    "bad-request", f"/fields/name must be unique, and class {other_id} is {other.name!r}"
                )
            if other.digit is not None and other.digit == entry["digit"]:
                entries[class_key(other_id)] = {**other.to_json(), "digit": None}
        return entries
