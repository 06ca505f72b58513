"""A studio with a fake model in a process, so that its memory, descriptors and threads can be measured.

`python -m support.studio_server FOLDER [FAULT]` serves the project in a folder until its stdin ends. Its first line is
{"port": …, "entry": …}. A fault makes the server bad on purpose, for tests of tests: see `FAULTS`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from masklet.http.security import Access
from masklet.project.project import Project
from masklet.segmenter import Segmenter
from masklet.studio import predictions
from masklet.studio.app import Site
from masklet.studio.camera_run import CameraRun
from masklet.studio.connection import Client, Clients
from masklet.studio.server import Server
from masklet.studio.studio import Studio
from masklet.studio.text_prompts import TextPrompts
from masklet.video.cameras import Camera, CameraOptions
from support.cameras import FakeCamera
from support.gray_detector import make_gray_detector
from support.gray_world import GrayWorld, draw_boxes
from support.measured_process import MeasuredProcess, note_connections
from support.studio import Visitor, enter
from support.studio_session import SlowBackend, make_boxes, write_media

FAULTS = ("memory", "descriptors", "threads", "files", "waits")
"""What a bad server leaks for each client; the last one waits for slow clients."""


class ServerProcess(MeasuredProcess):
    """The process.

    Args:
        folder: Folder for the media and the project. Its temporary files are in `folder/tmp`.
        fault: One of `FAULTS`.
        prepare: Open the project of the folder as it is, instead of writing media.

    Attributes:
        port: Its port.
        entry: Has the `path` of the private file, as `Server.entry`.
        cookie: A cookie that it accepts.
        visitor: A client with the cookie.
    """

    def __init__(self, folder: Path, fault: str = "", *, prepare: bool = True) -> None:
        if prepare:
            write_media(folder)
        super().__init__("support.studio_server", folder, fault)
        self.port: int = self.record["port"]
        self.entry = SimpleNamespace(path=Path(self.record["entry"]))
        self.cookie = enter(self)  # type: ignore[arg-type]
        self.visitor = Visitor(self, self.cookie)  # type: ignore[arg-type]


class _Backend(SlowBackend, GrayWorld):
    """Segments by color, also for the mask generator."""


class _LeakingStudio(Studio):
    """A studio that never frees what it takes for a client."""

    fault = ""
    leaked: list[object]

    def connect(self, client: Client) -> None:
        """Leak."""
        if self.fault == "memory":
            self.leaked.append(os.urandom(8 << 20))
        elif self.fault == "descriptors":
            self.leaked.append(os.open(os.devnull, os.O_RDONLY))
        elif self.fault == "threads":
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        elif self.fault == "files":
            os.close(tempfile.mkstemp()[0])
        super().connect(client)


def _let_senders_wait() -> None:
    """Let whoever sends to all clients wait for those that do not read, as a server without queues does."""
    broadcast = Clients.broadcast

    def broadcast_slowly(clients: Clients, event: Any) -> None:
        broadcast(clients, event)
        if any(client._waiting_bytes > 1 << 20 for client in clients):
            time.sleep(0.5)

    Clients.broadcast = broadcast_slowly  # type: ignore[method-assign]


def _serve(folder: Path, fault: str) -> None:
    logging.basicConfig(level=logging.WARNING)
    sys.addaudithook(note_connections)
    if fault == "waits":
        _let_senders_wait()
    from masklet.project.media import add_media

    _LeakingStudio.fault, _LeakingStudio.leaked = fault, []
    predictions._MAX_PREDICTED_BYTES = 1 << 20  # so that the caches are full when growth is measured
    with ExitStack() as stack:
        project = stack.enter_context(Project.open(folder / "project"))
        if not project.document.media():
            add_media(project, [folder / "clip"], frame_folders=True)
            add_media(project, [folder / name for name in ("a.png", "b.png", "c.png")])
        clients, prompts = Clients(), TextPrompts("gray", lambda: make_gray_detector)
        studio = stack.enter_context(
            closing(_LeakingStudio(project, clients, lambda: Segmenter(_Backend()), "fake", [folder], prompts))
        )
        images = (draw_boxes(make_boxes(number % 6)) for number in iter(int, 1))
        camera = Camera("camera", lambda: FakeCamera(images, pause_s=0.2), CameraOptions(allow_still=True))
        page = stack.enter_context(closing(CameraRun(camera, project, studio.run_with_model))).page
        server = stack.enter_context(closing(Server(Site(studio, clients, cameras=[page]), Access())))
        sys.stdout.write(json.dumps({"port": server.port, "entry": str(server.entry.path)}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2])
