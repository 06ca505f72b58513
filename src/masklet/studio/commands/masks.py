"""Commands for masks: brush, polygons, clearing, accepting, and objects that are absent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from masklet.errors import MaskletError, PromptError
from masklet.masks import polygons as outlines
from masklet.project.cells import Cell, CellKey
from masklet.project.entries import prompt_key
from masklet.studio.connection import Client
from masklet.studio.displayed_masks import Mask, reduce_size, resize_mask
from masklet.studio.messages import decode_runs
from masklet.studio.workspace import MAX_CELLS, Workspace

_MAX_VERTICES = 100_000

Vertices = list[tuple[float, float]]


class MaskCommands:
    """Commands for masks."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def paint(
        self,
        client: Client,
        payload: memoryview,
        *,
        medium: int,
        frame: int,
        object_id: int | None,
        size: tuple[int, int],
        class_id: int | None = None,
    ) -> dict[str, Any]:
        """Replace the mask of an object, or make a new one. `payload` are the runs of the whole mask."""
        workspace = self._workspace
        workspace.check_frame(medium, frame)
        full_size = workspace.document.medium(medium).size
        expected = reduce_size(full_size)
        if size != expected:
            raise PromptError("mask-shape", f"the mask must be of size {list(expected)}, got {list(size)}")
        mask = resize_mask(decode_runs(payload, size), full_size)
        with workspace.project.lock:
            entries: dict[str, Any] = {}
            if object_id is None:
                object_id, entries = workspace.make_object(medium, class_id)
            return {"object": object_id, "seq": self._edit("paint", (medium, object_id, frame), mask, entries)}

    def get_polygons(
        self, client: Client, *, medium: int, frame: int, object_id: int, tolerance: float
    ) -> dict[str, Any]:
        """Return the outlines of a mask, simplified by a tolerance in pixels."""
        if tolerance < 0:
            raise MaskletError("bad-request", f"/tolerance must be 0 or more, got {tolerance:g}")
        self._workspace.document.object_of(medium, object_id)
        cell = self._workspace.document.cell(medium, object_id, frame)
        if cell is None or cell.mask is None:
            return {"polygons": []}
        mask = self._workspace.project.masks(medium).read(cell.mask)
        return {"polygons": [np.round(loop, 2).tolist() for loop in outlines.trace_pieces(mask, tolerance)]}

    def set_polygons(
        self, client: Client, *, medium: int, frame: int, object_id: int, polygons: list[Vertices]
    ) -> dict[str, Any]:
        """Replace the mask of an object by the union of polygons."""
        workspace = self._workspace
        workspace.check_frame(medium, frame)
        if sum(map(len, polygons)) > _MAX_VERTICES:
            raise MaskletError("bad-request", f"/polygons must have at most {_MAX_VERTICES} vertices together")
        mask = outlines.rasterize(polygons, workspace.document.medium(medium).size)
        with workspace.project.lock:
            return {"seq": self._edit("edit_polygons", (medium, object_id, frame), mask, {})}

    def clear(self, client: Client, *, medium: int, objects: list[int], start: int, stop: int) -> dict[str, Any]:
        """Remove prompts and masks that are not accepted."""
        workspace = self._workspace
        with workspace.project.lock:
            entries: dict[str, None] = {}
            cells: dict[CellKey, None] = {}
            for object_id, frames in self._select(medium, objects, start, stop):
                accepted = {frame for frame, cell in self._list_cells(medium, object_id, frames) if cell.accepted}
                for frame, _ in self._list_cells(medium, object_id, frames):
                    if frame not in accepted:
                        cells[medium, object_id, frame] = None
                for frame in self._list_prompts(medium, object_id, frames):
                    if frame not in accepted:
                        entries[prompt_key(medium, object_id, frame)] = None
            return {"seq": workspace.project.act("clear", entries, cells).seq}

    def mark_absent(self, client: Client, *, medium: int, objects: list[int], start: int, stop: int) -> dict[str, Any]:
        """State that objects are not in some frames."""
        workspace = self._workspace
        with workspace.project.lock:
            entries: dict[str, None] = {}
            cells: dict[CellKey, Cell] = {}
            for object_id, frames in self._select(medium, objects, start, stop):
                cells |= {(medium, object_id, frame): Cell(None, 1.0, "absent") for frame in frames}
                for frame in self._list_prompts(medium, object_id, frames):
                    entries[prompt_key(medium, object_id, frame)] = None
            return {"seq": workspace.project.act("mark_absent", entries, cells).seq}

    def accept(
        self, client: Client, *, medium: int, objects: list[int], start: int, stop: int, accepted: bool
    ) -> dict[str, Any]:
        """Accept masks, or accept them no more. Frames without a mask are left out."""
        workspace = self._workspace
        frames = workspace.check_range(medium, start, stop)
        with workspace.project.lock:
            for object_id in objects:
                workspace.document.object_of(medium, object_id)
            cells = {
                (medium, object_id, frame): replace(cell, accepted=accepted)
                for object_id in objects
                for frame, cell in self._list_cells(medium, object_id, frames)
            }
            return {"seq": workspace.project.act("accept" if accepted else "unaccept", {}, cells).seq}

    def _edit(self, action: str, key: CellKey, mask: Mask, entries: dict[str, Any]) -> int:
        """Store a mask that the user drew. Return the number of the change."""
        workspace, (medium, object_id, _) = self._workspace, key
        if not entries:
            workspace.check_unlocked(medium, object_id)
        cell = Cell(workspace.masks.store(medium, mask), 1.0, "edit")
        return workspace.project.act(action, entries, {key: cell}).seq

    def _select(self, medium: int, objects: list[int], start: int, stop: int) -> Iterator[tuple[int, range]]:
        """Yield the objects that are not locked, each with the frames."""
        frames = self._workspace.check_range(medium, start, stop)
        selected = self._workspace.select_unlocked(medium, objects)
        if len(frames) * len(selected) > MAX_CELLS:
            message = f"{len(frames)} frames of {len(selected)} objects are over {MAX_CELLS} masks; choose fewer frames"
            raise MaskletError("bad-request", message)
        return ((object_id, frames) for object_id in selected)

    def _list_cells(self, medium: int, object_id: int, frames: range) -> Iterator[tuple[int, Cell]]:
        cells = self._workspace.document.cells
        known = cells.frames_of(medium, object_id)
        first, last = np.searchsorted(known, [frames.start, frames.stop])
        for frame in known[first:last].tolist():
            cell = cells.get(medium, object_id, frame)
            assert cell is not None, "the frame has a cell"
            yield frame, cell

    def _list_prompts(self, medium: int, object_id: int, frames: range) -> list[int]:
        return [frame for frame in self._workspace.document.prompts_of(medium, object_id) if frame in frames]
