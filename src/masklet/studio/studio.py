"""Studio: runs the commands of clients on a project, with a model."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from masklet.errors import MaskletError, StateError
from masklet.http.engine import Engine, Priority
from masklet.http.problems import log_bug
from masklet.project.media import open_medium
from masklet.project.project import Project
from masklet.segmenter import Segmenter
from masklet.studio.arguments import read_arguments
from masklet.studio.commands.classes import ClassCommands
from masklet.studio.commands.masks import MaskCommands
from masklet.studio.commands.media import MediaCommands
from masklet.studio.commands.objects import ObjectCommands
from masklet.studio.commands.project import ProjectCommands
from masklet.studio.commands.prompts import PromptCommands
from masklet.studio.commands.proposals import ProposalCommands
from masklet.studio.commands.tracking import TrackingCommands
from masklet.studio.commands.transfer import TransferCommands, import_content
from masklet.studio.connection import Client, Clients, Content, FrameRequest
from masklet.studio.displayed_masks import DisplayedMasks
from masklet.studio.embeddings import Embeddings
from masklet.studio.exports import Exports, stream_zip
from masklet.studio.frames import DecodedFrames, FrameImages, Image, Medium
from masklet.studio.predictions import Predictions
from masklet.studio.proposals import Proposals
from masklet.studio.text_prompts import TextPrompts
from masklet.studio.tracking_runs import TrackingRuns
from masklet.studio.updates import Updates, make_problem
from masklet.studio.workspace import Workspace

Handler = Callable[..., Any]
"""Returns the fields of the reply, or a function that waits until an empty reply can be sent."""
Result = TypeVar("Result")

_SLOW = frozenset({"get_polygons", "import_annotations", "list_annotations", "next_review", "plan_retracking",
                   "plan_tracking", "rescan", "track"})  # fmt: skip
_SLOW_THREADS = 4
_BINARY = frozenset({"paint"})


class Studio:
    """Handler of everything that the clients of a project send: the `Commands` of a server.

    Commands run in one thread, in the order in which they arrive, and those that read files in others. Masks are
    predicted by the inference engine.

    Args:
        project: The project, which stays open until the studio is closed.
        clients: The connected clients.
        load: Loads the model, in the thread of the engine.
        model_name: Name of the model, for the page.
        folders: The opened folders.
        text_prompts: Detector of objects that a text names; None for none.
    """

    def __init__(
        self,
        project: Project,
        clients: Clients,
        load: Callable[[], Segmenter],
        model_name: str,
        folders: Iterable[Path] = (),
        text_prompts: TextPrompts | None = None,
    ) -> None:
        self._clients, self._load = clients, load
        self._busy: dict[str, Any] = {"event": "busy", "what": "loading", "medium": None, "frame": None}
        self._loading_problem: dict[str, Any] | None = None
        self._frames = DecodedFrames(lambda medium: _open(project, medium))
        self._images = FrameImages(self._frames)
        self._engine: Engine[Embeddings] = Engine(self._load_model, lambda: self._report_busy(None))
        masks = DisplayedMasks(project)
        self._workspace = Workspace(
            project,
            tuple(folders),
            model_name,
            self._engine,
            masks,
            Updates(project, masks, clients),
            Predictions(project, masks, self._engine),
            Proposals(project, self._frames),
            TrackingRuns(project, self._engine, clients),
            Exports(project, clients),
            text_prompts,
        )
        self._handlers = _list_handlers(self._workspace)
        self._ordered = ThreadPoolExecutor(1, "masklet-commands")
        self._slow = ThreadPoolExecutor(_SLOW_THREADS, "masklet-slow-commands")
        self._workspace.updates.start()
        self._engine.start()

    def connect(self, client: Client) -> None:
        """Learn of a new client. Send it what the studio is busy with, and why the model could not be loaded."""
        if self._loading_problem is not None:
            client.send_event(self._loading_problem)
        if self._busy["what"] is not None:
            client.send_event(self._busy)

    def disconnect(self, client: Client) -> None:
        """Forget a client."""
        self._workspace.updates.forget(client)

    async def handle(self, client: Client, command: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run a command and return the fields of its reply.

        Raises:
            MaskletError: `bad-request` for an unknown command or an invalid argument, and the errors of the commands.
        """
        if command not in self._handlers or command in _BINARY:
            raise MaskletError("bad-request", f"there is no command {command:.60}")
        return await self._run(command, client, arguments)

    async def handle_binary(self, client: Client, header: Mapping[str, Any], payload: memoryview) -> Mapping[str, Any]:
        """Run the command of a binary message and return the fields of its reply. Raises `MaskletError`."""
        command = header.get("command")
        if not isinstance(command, str) or command not in _BINARY:
            raise MaskletError("bad-request", f"there is no binary command {command!r:.60}")
        arguments = {name: value for name, value in header.items() if name not in ("id", "command")}
        return await self._run(command, client, arguments, payload)

    def frame(self, request: FrameRequest) -> Content:
        """Return a frame as JPEG or PNG. Raises `MaskletError`."""
        return self._images.get(request)

    def export(self, name: str) -> Content:
        """Return the exported folder of a name as a zip archive. Raises `InputNotFound`."""
        return Content(stream_zip(self._workspace.exports.find_folder(name)), "application/zip")

    def import_annotations(self, medium: int, name: str, content: bytes) -> Mapping[str, Any]:
        """Read the annotation file of a name from its content. Raises `MaskletError`."""
        # `close` waits for these threads: an import that runs when Python ends would abort the process
        return self._slow.submit(import_content, self._workspace, medium, name, content).result()

    def run_with_model(self, work: Callable[[Segmenter], Result]) -> Result:
        """Run a function with the model in the thread of the engine, and return its result.

        Raises:
            MaskletError: The function raised it, or the model cannot be loaded.
            StateError: The studio was closed.
        """
        results: list[Result] = []
        job = self._workspace.engine.submit(
            Priority.SHOWN_FRAME, lambda embeddings: results.append(work(embeddings.model))
        )
        job.complete()
        if not results:
            raise StateError("job-locked", "the studio was closed")
        return results[0]

    def add_camera(self, name: str) -> None:
        """Tell the clients that connect of a camera; the first has the page `/live/1`."""
        self._workspace.cameras.append(name)

    def close(self) -> None:
        """End all threads. Tracks end after their frame, and the export that runs is removed."""
        self._slow.shutdown(cancel_futures=True)
        self._ordered.shutdown(cancel_futures=True)
        self._engine.stop()
        self._workspace.exports.stop()
        self._workspace.updates.stop()
        self._images.close()
        self._frames.close()

    async def _run(
        self, command: str, client: Client, arguments: Mapping[str, Any], *payload: memoryview
    ) -> Mapping[str, Any]:
        handler = self._handlers[command]

        def run() -> Any:
            return handler(client, *payload, **read_arguments(handler, arguments))

        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._slow if command in _SLOW else self._ordered, run)
        if not callable(result):
            return result  # type: ignore[no-any-return]
        await loop.run_in_executor(None, result)
        return {}

    def _load_model(self) -> Embeddings:
        try:
            model = self._load()
            model.warm_up(video=False)
        except Exception as error:
            failure = error if isinstance(error, MaskletError) else log_bug(error)
            place = {"medium": None, "frame": None, "object": None}
            self._loading_problem = make_problem(failure, command="load", **place)
            self._clients.broadcast(self._loading_problem)
            raise failure from error
        return Embeddings(model, self._frames, self._report_busy)

    def _report_busy(self, what: str | None, medium: int | None = None, frame: int | None = None) -> None:
        self._busy = {"event": "busy", "what": what, "medium": medium, "frame": frame}
        self._clients.broadcast(self._busy)


class _StillImage:
    """An image as a video of one frame, which is read when it is needed."""

    def __init__(self, read: Callable[[], Image]) -> None:
        self._read = read

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Image:
        return self._read()

    def close(self) -> None:
        """Do nothing."""


def _open(project: Project, medium: int) -> Medium:
    if project.document.medium(medium).kind == "image":
        return _StillImage(lambda: np.asarray(open_medium(project, medium), np.uint8))
    return open_medium(project, medium)  # type: ignore[return-value]


def _list_handlers(workspace: Workspace) -> dict[str, Handler]:
    """Return the commands by name."""
    groups = (
        *(ProjectCommands(workspace), MediaCommands(workspace), PromptCommands(workspace), MaskCommands(workspace)),
        *(ObjectCommands(workspace), ClassCommands(workspace), TrackingCommands(workspace)),
        *(ProposalCommands(workspace), TransferCommands(workspace)),
    )
    return {
        name: method
        for group in groups
        for name, method in inspect.getmembers(group, inspect.ismethod)
        if not name.startswith("_")
    }
