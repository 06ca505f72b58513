"""Commands for objects: adding, changing, removing and copying."""

from __future__ import annotations

from typing import Any, TypedDict

from masklet.errors import PromptError
from masklet.project.cells import Cell, CellKey
from masklet.project.entries import object_key, prompt_key
from masklet.studio.connection import Client
from masklet.studio.workspace import Workspace, check_entry

ObjectFields = TypedDict(
    "ObjectFields",
    {"name": str, "class": int | None, "color": str, "hidden": bool, "locked": bool, "attributes": dict[str, str]},
    total=False,
)


class ObjectCommands:
    """Commands for objects."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def add_object(self, client: Client, *, medium: int, fields: ObjectFields) -> dict[str, Any]:
        """Add an object without a mask."""
        workspace = self._workspace
        with workspace.project.lock:
            object_id, entries = workspace.make_object(medium, fields.get("class"))
            key = object_key(medium, object_id)
            seq = workspace.project.act("add_object", {key: check_entry(key, {**entries[key], **fields})}).seq
        return {"object": object_id, "seq": seq}

    def change_object(self, client: Client, *, medium: int, object_id: int, fields: ObjectFields) -> dict[str, Any]:
        """Change fields of an object."""
        workspace = self._workspace
        with workspace.project.lock:
            entry = workspace.document.object_of(medium, object_id).to_json()
            workspace.check_class(fields.get("class"))
            key = object_key(medium, object_id)
            return {"seq": workspace.project.act("change_object", {key: check_entry(key, {**entry, **fields})}).seq}

    def remove_objects(self, client: Client, *, medium: int, objects: list[int]) -> dict[str, Any]:
        """Remove objects with their prompts and masks."""
        workspace = self._workspace
        with workspace.project.lock:
            document = workspace.document
            entries: dict[str, None] = {}
            cells: dict[CellKey, None] = {}
            for object_id in workspace.select_unlocked(medium, objects):
                entries[object_key(medium, object_id)] = None
                for frame in document.prompts_of(medium, object_id):
                    entries[prompt_key(medium, object_id, frame)] = None
                for frame in document.cells.frames_of(medium, object_id).tolist():
                    cells[medium, object_id, frame] = None
            return {"seq": workspace.project.act("remove_objects", entries, cells).seq}

    def copy_objects(
        self, client: Client, *, medium: int, frame: int, objects: list[int], to_medium: int, to_frame: int
    ) -> dict[str, Any]:
        """Copy the masks of objects to another frame, or with the objects to another image or video."""
        workspace = self._workspace
        workspace.check_frame(medium, frame)
        workspace.check_frame(to_medium, to_frame)
        self._check_sizes(medium, to_medium)
        if (medium, frame) == (to_medium, to_frame):
            raise PromptError("bad-prompt", "objects cannot be copied to the frame that they are on")
        with workspace.project.lock:
            same = medium == to_medium
            selected = workspace.select_unlocked(medium, objects) if same else list(dict.fromkeys(objects))
            next_id = workspace.document.new_object(to_medium)
            entries: dict[str, Any] = {}
            cells: dict[CellKey, Cell] = {}
            copied: list[int] = []
            for object_id in selected:
                entry = workspace.document.object_of(medium, object_id)
                cell = workspace.document.cell(medium, object_id, frame)
                if cell is None:
                    continue
                number = object_id if same else next_id + len(copied)
                if not same:
                    entries[object_key(to_medium, number)] = {**entry.to_json(), "locked": False}
                cells[to_medium, number, to_frame] = self._copy_cell(cell, medium, to_medium)
                copied.append(number)
            if not copied:
                raise PromptError("unknown-object", f"none of these objects has a mask on frame {frame}")
            return {"objects": copied, "seq": workspace.project.act("copy_objects", entries, cells).seq}

    def _check_sizes(self, medium: int, to_medium: int) -> None:
        size, to_size = (self._workspace.document.medium(number).size for number in (medium, to_medium))
        if size != to_size:
            sizes = " to ".join(f"{width} × {height}" for height, width in (size, to_size))
            raise PromptError("mask-shape", f"objects are copied to images of the same size only, not from {sizes}")

    def _copy_cell(self, cell: Cell, medium: int, to_medium: int) -> Cell:
        if cell.mask is None:
            return Cell(None, 1.0, "absent")
        if medium == to_medium:
            return Cell(cell.mask, 1.0, "edit")
        counts = self._workspace.project.masks(medium).read_counts(cell.mask)
        return Cell(self._workspace.project.masks(to_medium).add_counts(counts), 1.0, "edit")
