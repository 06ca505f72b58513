"""Commands for prompts: clicks and boxes, previews and candidates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from masklet.errors import FormatError, MaskWarning, PromptError
from masklet.files.error_translation import translate_errors
from masklet.http.engine import Priority
from masklet.project.entries import PromptEntry
from masklet.prompts import click
from masklet.studio.connection import Client
from masklet.studio.embeddings import Embeddings
from masklet.studio.predictions import Reports, Target
from masklet.studio.updates import make_problem
from masklet.studio.workspace import Workspace

Point = tuple[float, float, Literal[0, 1]]
Box = tuple[float, float, float, float]


class PromptCommands:
    """Commands for prompts."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def predict(
        self,
        client: Client,
        *,
        medium: int,
        frame: int,
        object_id: int | None,
        points: list[Point],
        box: Box | None,
        class_id: int | None = None,
    ) -> dict[str, Any]:
        """Save a prompt of an object, or of a new one. Its mask follows."""
        workspace = self._workspace
        workspace.check_frame(medium, frame)
        with translate_errors(FormatError, into=lambda error: PromptError("bad-prompt", error.message)):
            prompt = PromptEntry(tuple(points), box)
        with workspace.project.lock:
            entries: dict[str, Any] = {}
            if object_id is None:
                object_id, entries = workspace.make_object(medium, class_id)
            else:
                workspace.check_unlocked(medium, object_id)
            target = Target(medium, object_id, frame)
            seq = workspace.predictions.save(target, prompt, entries, _report_to(client, "predict", target))
        return {"object": object_id, "seq": seq}

    def hover(
        self, client: Client, *, medium: int, frame: int, point: tuple[float, float], turn: int
    ) -> dict[str, Any]:
        """Send a preview of a click, unless a newer one is requested before it is predicted."""
        workspace = self._workspace
        workspace.check_frame(medium, frame)
        click(*point).normalize_points(workspace.document.medium(medium).size)

        def preview(model: Embeddings) -> None:
            client.send_binary(*workspace.predictions.preview(model, medium, frame, point, turn))

        workspace.engine.submit(Priority.PREVIEW, preview, slot=("hover", client))
        return {}

    def settle(self, client: Client, *, medium: int) -> Callable[[], None]:
        """Reply when the masks of the prompts that were sent before have been sent."""
        workspace = self._workspace

        def wait() -> None:
            workspace.predictions.wait(medium)
            workspace.updates.flush()

        return wait

    def choose_candidate(
        self, client: Client, *, medium: int, frame: int, object_id: int, candidate: Literal[0, 1, 2]
    ) -> dict[str, Any]:
        """Choose one of the three masks of a lone click, the best of which is 0."""
        self._workspace.check_unlocked(medium, object_id)
        target = Target(medium, object_id, frame)
        reports = _report_to(client, "choose_candidate", target)
        return {"candidate": candidate, "seq": self._workspace.predictions.choose(target, candidate, reports)}


def _report_to(client: Client, command: str, target: Target) -> Reports:
    """Return functions that send the error and the warnings of a prediction to the client that requested it."""
    place = {"command": command, "medium": target.medium, "frame": target.frame, "object": target.object_id}

    def warn(warning: MaskWarning) -> None:
        client.send_event({"event": "warning", **place, "code": warning.code, "message": warning.message})

    return Reports(lambda error: client.send_event(make_problem(error, **place)), warn)
