"""Exports of the studio: a thread that writes exported folders, and zip archives of them."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from masklet.errors import InputNotFound, MaskletError, SettingsError
from masklet.formats import FORMATS, find_formats
from masklet.http.problems import describe_problem, log_bug
from masklet.project.project import Project
from masklet.project.transfer import export_project
from masklet.studio.connection import Clients

MAX_WAITING = 100
_FOLDER = "exports"
_PROGRESS_INTERVAL_S = 0.1
_NICENESS = 10  # of the thread, so that clicks are predicted in time
_STOP_TIMEOUT_S = 5.0
_PIECE_BYTES = 1 << 20
_COMPRESSED = frozenset({".jpg", ".jpeg", ".png", ".mp4", ".mov", ".webm", ".npz", ".zip", ".webp"})


class _Request(NamedTuple):
    name: str
    media: tuple[int, ...]
    formats: tuple[str, ...]


class _StoppedError(Exception):
    """The studio ends."""


class Exports:
    """Thread that writes exports one after another, each as a folder in the project. Any thread may use it.

    Args:
        project: The project.
        clients: The connected clients, which are sent the progress.
    """

    def __init__(self, project: Project, clients: Clients) -> None:
        self._project, self._clients, self._folder = project, clients, project.folder / _FOLDER
        self._requests: SimpleQueue[_Request | None] = SimpleQueue()
        self._names: set[str] = set()
        self._lock, self._is_stopped = threading.Lock(), False
        self._thread = threading.Thread(target=self._run, daemon=True, name="masklet-exports")

    def start(self, media: Sequence[int], formats: Sequence[str]) -> str:
        """Start an export, and return its name.

        Raises:
            PromptError: There is no such image or video.
            SettingsError: A format is unknown, no format or medium is given, or `MAX_WAITING` exports wait.
        """
        find_formats(formats)
        for medium in media:
            self._project.document.medium(medium)
        if not media or not formats:
            raise SettingsError("bad-usage", "choose at least one image or video, and a format or an effect")
        with self._lock:
            if self._requests.qsize() >= MAX_WAITING:
                raise SettingsError("bad-usage", f"{MAX_WAITING} exports wait; export again when they are written")
            name = self._choose_name()
            self._names.add(name)
            if self._thread.ident is None:
                self._thread.start()
            self._requests.put(_Request(name, tuple(dict.fromkeys(media)), tuple(dict.fromkeys(formats))))
        return name

    def stop(self) -> None:
        """End the export that runs, and the thread."""
        self._is_stopped = True
        self._requests.put(None)
        if self._thread.ident is not None:
            self._thread.join(_STOP_TIMEOUT_S)

    def find_folder(self, name: str) -> Path:
        """Return the folder of an export. Raises `InputNotFound` if there is none of that name."""
        folder = self._folder / name
        if Path(name).name != name or name.startswith(".") or folder.is_symlink() or not folder.is_dir():
            raise InputNotFound("input-not-found", f"there is no export {name:.100}")
        return folder

    def _choose_name(self) -> str:
        stem = time.strftime("%Y-%m-%d-%H%M%S")
        names = (stem, *(f"{stem}-{number}" for number in range(2, 1000)))
        return next(name for name in names if name not in self._names and not (self._folder / name).exists())

    def _run(self) -> None:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while (request := self._requests.get()) is not None and not self._is_stopped:
            self._write(request)

    def _write(self, request: _Request) -> None:
        report = _Report(self._clients, request.name)
        out = self._folder / request.name

        def note(done: int, total: int) -> None:
            if self._is_stopped:
                raise _StoppedError
            report.note(done, total)

        try:
            export_project(self._project, out, request.formats, media=request.media, progress=note)
        except _StoppedError:
            report.send("stopped")
        except MaskletError as error:
            report.send("failed", problem=describe_problem(error))
        except Exception as error:  # noqa: BLE001 - the next export must run
            report.send("failed", problem=describe_problem(log_bug(error)))
        else:
            report.send("finished", path=str(out), url=f"/exports/{request.name}.zip")


class _Report:
    """Progress of an export."""

    def __init__(self, clients: Clients, name: str) -> None:
        self._clients, self._name = clients, name
        self._done = self._total = 0
        self._start_time, self._report_time = time.monotonic(), 0.0

    def note(self, done: int, total: int) -> None:
        """Note the number of frames done, of all."""
        self._done, self._total = done, total
        now = time.monotonic()
        if now - self._report_time >= _PROGRESS_INTERVAL_S:
            self._report_time = now
            self.send("running", seconds_left=round((now - self._start_time) / max(done, 1) * (total - done), 1))

    def send(self, state: str, **fields: Any) -> None:
        """Send the progress to all clients."""
        progress = {"done": self._done, "total": self._total, "seconds_left": None, "problem": None}
        self._clients.broadcast({"event": "progress", "export": self._name, "state": state, **progress, **fields})


def list_effects() -> list[str]:
    """Return the names of the formats that show images, such as blurred backgrounds."""
    return [name for name, form in FORMATS.items() if form.shows_images or form.shows_edges]


def stream_zip(folder: Path) -> Iterator[bytes]:
    """Yield a zip archive of a folder in pieces. Links are left out."""
    target = _Pieces()
    with ZipFile(target, "w") as archive:  # type: ignore[call-overload]
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            entry = ZipInfo.from_file(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")
            entry.compress_type = ZIP_STORED if path.suffix.lower() in _COMPRESSED else ZIP_DEFLATED
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as written:
                while piece := source.read(_PIECE_BYTES):
                    written.write(piece)
                    yield target.take()
    yield target.take()


class _Pieces:
    """A file that cannot be rewound, whose content is taken as it is written."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep data until it is taken."""
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing."""

    def take(self) -> bytes:
        """Return and forget what was written."""
        data, self._pieces = b"".join(self._pieces), []
        return data
