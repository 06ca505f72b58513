"""A studio with a fake model in a process, so that its memory, descriptors and threads can be measured.

`python -m support.studio_server FOLDER [FAULT]` serves the project in a folder until its stdin ends. Its first line is
{"port": …, "entry": …}. A fault makes the server bad on purpose, for tests of tests: see `FAULTS`.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, NamedTuple

import psutil

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
from support.studio import Visitor, enter
from support.studio_session import SlowBackend, make_boxes, write_media

TIMEOUT_S = 120.0
FAULTS = ("memory", "descriptors", "threads", "files", "waits")
"""What a bad server leaks for each client; the last one waits for slow clients."""

_log = logging.getLogger("masklet.reliability")


def report(row: str, **figures: object) -> None:
    """Log the figures of a row of the test plan; `-o log_cli=true -o log_cli_level=INFO` shows them."""
    _log.info("%s: %s", row, ", ".join(f"{name} {value}" for name, value in figures.items()))


class Usage(NamedTuple):
    """What a process uses: memory in MiB, descriptors, threads, temporary files, child processes, seconds of CPU."""

    memory_mib: float
    descriptors: int
    threads: int
    files: int
    children: int
    cpu_s: float


class ServerProcess:
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
        self._temporary = folder / "tmp"
        self._temporary.mkdir()
        self._errors = (folder / "errors.txt").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.studio_server", str(folder), fault],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
            env={**os.environ, "TMPDIR": str(self._temporary), "OMP_NUM_THREADS": "1"},
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, self.read_errors()
        record = json.loads(line)
        self.port: int = record["port"]
        self.entry = SimpleNamespace(path=Path(record["entry"]))
        self._measured = psutil.Process(self._process.pid)
        self.cookie = enter(self)  # type: ignore[arg-type]
        self.visitor = Visitor(self, self.cookie)  # type: ignore[arg-type]

    def measure(self) -> Usage:
        """Return what the process uses now."""
        with self._measured.oneshot():
            times = self._measured.cpu_times()
            return Usage(
                self._measured.memory_info().rss / 2**20,
                self._measured.num_fds(),
                self._measured.num_threads(),
                sum(path.is_file() for path in self._temporary.rglob("*")),
                len(self._measured.children(recursive=True)),
                times.user + times.system,
            )

    def read_errors(self) -> str:
        """Return what the process wrote to stderr: bugs, warnings, and connections to other machines."""
        self._errors.flush()
        return Path(self._errors.name).read_text()

    def close(self) -> int:
        """End the process as Ctrl-C does, and return its status."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        try:
            return self._process.wait(TIMEOUT_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._errors.close()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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


def _note_connections(event: str, arguments: tuple[Any, ...]) -> None:
    """Write connections and look-ups of other machines to stderr."""
    if event == "socket.getaddrinfo" or (event == "socket.connect" and not isinstance(arguments[1], str | bytes)):
        sys.stderr.write(f"{event} {arguments[1:]}\n")


def _serve(folder: Path, fault: str) -> None:
    logging.basicConfig(level=logging.WARNING)
    sys.addaudithook(_note_connections)
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
