"""Commands for the whole project: its state for a new client, undo and redo."""

from __future__ import annotations

from typing import Any

import masklet
from masklet.formats import FORMATS
from masklet.studio.connection import Client
from masklet.studio.exports import list_effects
from masklet.studio.workspace import Workspace


class ProjectCommands:
    """Commands for the whole project."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def hello(self, client: Client) -> dict[str, Any]:
        """Return the state of the project."""
        workspace, effects = self._workspace, list_effects()
        with workspace.project.lock:
            return {
                "project": workspace.document.name,
                "model": workspace.model_name,
                "detector": None if workspace.text_prompts is None else workspace.text_prompts.name,
                "version": masklet.__version__,
                "seq": workspace.project.seq,
                "entries": workspace.document.entries,
                "undo": workspace.project.undo_label,
                "redo": workspace.project.redo_label,
                "formats": [name for name in FORMATS if name not in effects],
                "effects": effects,
                "runs": workspace.runs.describe(),
                "cameras": [
                    {"name": name, "url": f"/live/{number}"} for number, name in enumerate(workspace.cameras, start=1)
                ],
            }

    def undo(self, client: Client) -> dict[str, Any]:
        """Revert the last action, of any client. A track that runs ends if it is reverted."""
        return self._move("undo")

    def redo(self, client: Client) -> dict[str, Any]:
        """Repeat the last action that was reverted."""
        return self._move("redo")

    def _move(self, direction: str) -> dict[str, Any]:
        project = self._workspace.project
        with project.lock:
            label = project.undo_label if direction == "undo" else project.redo_label
            step = project.undo() if direction == "undo" else project.redo()
        return {"action": None if step is None else label, "seq": project.seq}
