"""Commands for proposals of the mask generator and of a detector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from masklet.detectors.classes import parse_classes
from masklet.errors import StateError
from masklet.http.engine import Priority
from masklet.project.cells import Cell, CellKey
from masklet.project.classes_of_labels import find_classes
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

    def detect(self, client: Client, *, medium: int, frame: int, text: str) -> Callable[[], None]:
        """Find the classes of a text on a frame, and send their masks. The reply follows at the end."""
        workspace, prompts = self._workspace, self._workspace.text_prompts
        workspace.check_frame(medium, frame)
        if prompts is None:
            message = "the studio has no detector; start it with --detector"
            raise StateError("backend-missing", message)
        classes = parse_classes(text)

        def work(model: Embeddings) -> Iterator[Any]:
            yield from workspace.proposals.detect(model, medium, frame, classes, prompts)
            client.send_binary(*workspace.proposals.make_message(medium, frame))

        return workspace.engine.submit(Priority.PROPOSALS, work, slot=("proposals", client)).complete

    def take_proposals(
        self, client: Client, *, medium: int, frame: int, indices: list[int], class_id: int | None = None
    ) -> dict[str, Any]:
        """Make objects of proposals. A label becomes the class of that name; `class_id` is that of the others."""
        workspace = self._workspace
        workspace.check_frame(medium, frame)
        taken = workspace.proposals.take(medium, frame, indices)
        store = workspace.project.masks(medium)
        numbers = [store.add_counts(one.rle["counts"]) for one in taken]
        with workspace.project.lock:
            workspace.check_class(class_id)
            classes, entries = find_classes(workspace.document, [one.label for one in taken if one.label])
            cells: dict[CellKey, Cell] = {}
            for position, (number, one) in enumerate(zip(numbers, taken, strict=True)):
                own_class = classes[one.label] if one.label else class_id
                object_id, entry = workspace.make_object(medium, own_class, position, new=entries)
                entries |= entry
                cells[medium, object_id, frame] = Cell(number, min(max(one.score, 0.0), 1.0), "propose")
            objects = [object_id for _, object_id, _ in cells]
            return {"objects": objects, "seq": workspace.project.act("take_proposals", entries, cells).seq}
