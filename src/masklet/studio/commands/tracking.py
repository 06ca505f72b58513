"""Commands for tracking and review."""

from __future__ import annotations

from typing import Any, Literal

from masklet.errors import MaskletError
from masklet.project.review import next_review
from masklet.project.tracking import TrackingPlan, plan_retracking, plan_tracking
from masklet.studio.connection import Client
from masklet.studio.workspace import Workspace

Direction = Literal["forward", "backward", "both"]


class TrackingCommands:
    """Commands for tracking and review."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def plan_tracking(
        self,
        client: Client,
        *,
        medium: int,
        objects: list[int] | None = None,
        start: int = 0,
        stop: int | None = None,
        direction: Direction = "both",
    ) -> dict[str, Any]:
        """Return the frames that `track` with the same arguments would track."""
        return plan_tracking(self._workspace.document, medium, objects, start, stop, direction).to_json()

    def plan_retracking(
        self, client: Client, *, medium: int, frame: int, objects: list[int] | None = None
    ) -> dict[str, Any]:
        """Return the frames whose masks came from a corrected one."""
        return self._plan_retracking(medium, objects, frame).to_json()

    def track(
        self,
        client: Client,
        *,
        medium: int,
        objects: list[int] | None = None,
        frame: int | None = None,
        start: int | None = None,
        stop: int | None = None,
        direction: Direction | None = None,
    ) -> dict[str, Any]:
        """Track objects through the frames of one of the plans. Without frames there is no run."""
        if frame is None:
            document = self._workspace.document
            plan = plan_tracking(document, medium, objects, start or 0, stop, direction or "both")
        elif (start, stop, direction) == (None, None, None):
            plan = self._plan_retracking(medium, objects, frame)
        else:
            raise MaskletError("bad-request", "/frame cannot be combined with /start, /stop or /direction")
        run = self._workspace.runs.start(plan) if plan.frame_count else None
        return {"run": run, **plan.to_json()}

    def stop_tracking(self, client: Client, *, run: int) -> dict[str, Any]:
        """Stop a run before its next frame."""
        self._workspace.runs.stop(run)
        return {}

    def next_review(self, client: Client, *, medium: int, frame: int, backward: bool = False) -> dict[str, Any]:
        """Return the next frame that the user should look at, and why."""
        found = next_review(self._workspace.project, medium, frame, backward=backward)
        values = (None, None, None) if found is None else (found.frame, found.object_id, found.reason)
        return dict(zip(("frame", "object", "reason"), values, strict=True))

    def _plan_retracking(self, medium: int, objects: list[int] | None, frame: int) -> TrackingPlan:
        self._workspace.check_frame(medium, frame)
        return plan_retracking(self._workspace.document, medium, objects, frame)
