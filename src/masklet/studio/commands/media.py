"""Commands for images and videos: what a client shows, their fields, and new files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypedDict

from masklet.http.engine import Job, Priority
from masklet.project.entries import media_key
from masklet.project.media import add_media
from masklet.studio.connection import Client
from masklet.studio.embeddings import Embeddings
from masklet.studio.updates import Place, make_problem
from masklet.studio.workspace import Workspace

_REST_S = 0.1  # that a client shows a frame before it is encoded, so that playing encodes no frames
_FRAMES_AHEAD = 3
_IMAGES_AHEAD = 2


class MediaFields(TypedDict, total=False):
    """Fields of an image or video that can be changed."""

    checked: bool


class MediaCommands:
    """Commands for images and videos."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def show(self, client: Client, *, medium: int, frame: int) -> dict[str, Any]:
        """Send the masks of a frame now and whenever they change. Encode it and its neighbors."""
        workspace = self._workspace
        workspace.check_frame(medium, frame)
        before, place = workspace.updates.get_shown(client), (medium, frame)
        workspace.updates.show(client, place)
        if place != before:
            self._encode(client, place, self._list_neighbors(place, before))
        return {}

    def get_lanes(self, client: Client, *, medium: int) -> dict[str, Any]:
        """Send the lanes of an image or video that is not shown."""
        with self._workspace.project.lock:  # a later change is sent after the lanes
            client.send_binary(*self._workspace.masks.make_lanes(medium))
        return {}

    def change_media(self, client: Client, *, media: list[int], fields: MediaFields) -> dict[str, Any]:
        """Change a field of images and videos."""
        workspace = self._workspace
        with workspace.project.lock:
            entries = {media_key(one): {**workspace.document.medium(one).to_json(), **fields} for one in media}
            return {"seq": workspace.project.act("change_media", entries).seq}

    def rescan(self, client: Client) -> dict[str, Any]:
        """Add images and videos that appeared in the opened folders."""
        return {"added": [*add_media(self._workspace.project, self._workspace.folders).added]}

    def _encode(self, client: Client, place: Place, neighbors: list[Place]) -> None:
        """Encode a frame when the client has shown it for a moment, and then its neighbors."""
        engine = self._workspace.engine

        def encode_shown(model: Embeddings) -> None:
            if model.uses_whole_frames:
                model.encode(*place)

        def encode_neighbors(model: Embeddings) -> Iterator[None]:
            for neighbor in neighbors:
                if self._workspace.updates.get_shown(client) != place:
                    return
                if model.uses_whole_frames:
                    model.encode(*neighbor, in_advance=True)
                yield

        def report(job: Job[Embeddings]) -> None:
            if job.error is not None:
                client.send_event(make_problem(job.error, command="show", medium=place[0], frame=place[1]))

        slot = "neighbors", client
        engine.submit(Priority.SHOWN_FRAME, encode_shown, on_end=report, slot=("shown", client), delay_s=_REST_S)
        engine.submit(Priority.NEIGHBORS, encode_neighbors, slot=slot, delay_s=_REST_S)

    def _list_neighbors(self, place: Place, before: Place | None) -> list[Place]:
        """List the frames or images that a client is likely to show next, those in its direction first."""
        (medium, frame), document = place, self._workspace.document
        if document.medium(medium).kind == "video":
            step = -1 if before is not None and before[0] == medium and before[1] > frame else 1
            frames = (frame + step * distance for distance in range(1, _FRAMES_AHEAD + 1))
            return [(medium, one) for one in frames if 0 <= one < document.medium(medium).frames]
        images = [number for number, one in document.media().items() if one.kind == "image"]
        step = -1 if before is not None and before[0] > medium else 1
        position = images.index(medium)
        near = [position + step * distance for distance in (*range(1, _IMAGES_AHEAD + 1), -1)]
        return [(images[one], 0) for one in near if 0 <= one < len(images)]
