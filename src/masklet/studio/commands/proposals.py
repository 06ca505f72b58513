"""Commands for proposals of the mask generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from masklet.http.engine import Priority
from masklet.project.cells import Cell, CellKey
from masklet.studio.connection import Client
from masklet.studio.embeddings import Embeddings
from masklet.studio.workspace import Workspace


class ProposalCommands:
    """Commands for proposals."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def propose(self, client: Client, *, medium: int, frame: int, class_id: int | None = None) -> Callable[[], None]:
        """Generate masks of everything on a frame, and send them. The reply follows at the end."""
        workspace = self._workspace
        workspace.check_frame(medium, frame)

        def work(model: Embeddings) -> Iterator[Any]:
            yield from workspace.proposals.generate(model, medium, frame)
            client.send_binary(*workspace.proposals.make_message(medium, frame))

        return workspace.engine.submit(Priority.PROPOSALS, work, slot=("proposals", client)).complete

    def take_proposals(
        self, client: Client, *, medium: int, frame: int, indices: list[int], class_id: int | None = None
    ) -> dict[str, Any]:
        """Make objects of proposals."""
        workspace = self._workspace
        workspace.check_frame(medium, frame)
        taken = workspace.proposals.take(medium, frame, indices)
        store = workspace.project.masks(medium)
        numbers = [store.add_counts(mask.rle["counts"]) for mask in taken]
        with workspace.project.lock:
            entries: dict[str, Any] = {}
            cells: dict[CellKey, Cell] = {}
            for position, (number, mask) in enumerate(zip(numbers, taken, strict=True)):
                object_id, entry = workspace.make_object(medium, class_id, position)
                entries |= entry
                cells[medium, object_id, frame] = Cell(number, min(max(mask.score, 0.0), 1.0), "propose")
            objects = [object_id for _, object_id, _ in cells]
            return {"objects": objects, "seq": workspace.project.act("take_proposals", entries, cells).seq}
