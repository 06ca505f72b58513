"""Updates of clients: every change of a project, and the masks of the frame that each client shows."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from masklet.errors import MaskletError
from masklet.http.problems import describe_problem, log_bug
from masklet.project.action_log import Step
from masklet.project.project import Project
from masklet.studio.connection import Client, Clients
from masklet.studio.displayed_masks import DisplayedMasks

Place = tuple[int, int]
"""Medium and frame."""


class _Change(NamedTuple):
    step: Step
    undo: str | None
    redo: str | None

    def to_event(self) -> dict[str, Any]:
        cells = [[*key, 0 if cell is None else cell.to_byte()] for key, cell in self.step.cells.items()]
        return {
            "event": "changes",
            "seq": self.step.seq,
            "action": self.step.action,
            "entries": self.step.changes,
            "cells": cells,
            "undo": self.undo,
            "redo": self.redo,
        }


class Updates:
    """Thread that sends changes to all clients, and masks to those that show a frame where they changed.

    Masks that change several times before they can be sent are sent once. All methods may be called by any thread.

    Args:
        project: The project.
        masks: Its masks as they are displayed.
        clients: The connected clients.
    """

    def __init__(self, project: Project, masks: DisplayedMasks, clients: Clients) -> None:
        self._project, self._masks, self._clients = project, masks, clients
        self._wake, self._is_stopped = threading.Condition(), False
        self._changes: list[_Change] = []
        self._noted, self._sent = 0, 0  # numbers of changes
        self._shown: dict[Client, Place] = {}
        self._new_places: set[Client] = set()
        self._lanes: dict[Client, int] = {}  # the medium whose lanes a client has
        self._thread = threading.Thread(target=self._run, daemon=True, name="masklet-updates")

    def start(self) -> None:
        """Start the thread."""
        self._unsubscribe = self._project.subscribe(self._note)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after what is to be sent now."""
        self._unsubscribe()
        with self._wake:
            self._is_stopped = True
            self._wake.notify_all()
        self._thread.join()

    def show(self, client: Client, place: Place) -> None:
        """Note the frame that a client shows from now on, and send its masks, and the lanes of another medium.

        Nothing is noted of a client that has disconnected meanwhile.
        """
        with self._wake:
            if client not in self._clients:
                return
            self._shown[client] = place
            self._new_places.add(client)
            self._wake.notify_all()

    def flush(self) -> None:
        """Return when the changes up to now were sent."""
        with self._wake:
            noted = self._noted
            self._wake.wait_for(lambda: self._sent >= noted or self._is_stopped)

    def get_shown(self, client: Client) -> Place | None:
        """Return the frame that a client shows."""
        return self._shown.get(client)

    def forget(self, client: Client) -> None:
        """Forget a client that has disconnected."""
        with self._wake:
            self._shown.pop(client, None)
            self._lanes.pop(client, None)
            self._new_places.discard(client)

    def _note(self, step: Step) -> None:
        """Queue a change. The caller holds the project."""
        with self._wake:
            self._changes.append(_Change(step, self._project.undo_label, self._project.redo_label))
            self._noted += 1
            self._wake.notify_all()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._changes or self._new_places or self._is_stopped)
                changes, self._changes = self._changes, []
                new, self._new_places = self._new_places, set()
                if not changes and not new:
                    return
                shown = dict(self._shown)
            try:
                self._send(changes, new, shown)
            except Exception as error:  # noqa: BLE001 - the thread must not end
                log_bug(error)
            with self._wake:
                self._sent += len(changes)
                self._wake.notify_all()

    def _send(self, changes: list[_Change], new: set[Client], shown: dict[Client, Place]) -> None:
        for change in changes:
            self._clients.broadcast(change.to_event())
        changed = {(medium, frame) for change in changes for medium, _, frame in change.step.cells}
        places: dict[Place, list[Client]] = {}
        for client, place in shown.items():
            if client in new or place in changed:
                places.setdefault(place, []).append(client)
        for place, clients in places.items():
            self._send_masks(place, clients)
        for client in new & shown.keys():
            self._send_lanes(client, shown[client][0])

    def _send_masks(self, place: Place, clients: list[Client]) -> None:
        try:
            header, payload = self._masks.make_masks(*place)
        except MaskletError as error:  # the medium was removed, or its masks are damaged
            for client in clients:
                client.send_event(make_problem(error, medium=place[0], frame=place[1]))
            return
        for client in clients:
            client.send_binary(header, payload)

    def _send_lanes(self, client: Client, medium: int) -> None:
        if self._lanes.get(client) != medium:
            client.send_binary(*self._masks.make_lanes(medium))
            with self._wake:
                if client in self._shown:
                    self._lanes[client] = medium


def make_problem(error: MaskletError, **place: Any) -> dict[str, Any]:
    """Return the event `problem` of work that failed after its command was replied to."""
    return {"event": "problem", **place, "problem": describe_problem(error)}
