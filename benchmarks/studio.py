"""Time from a request to the studio's server until the mask arrives, over its WebSocket on this machine, in ms.

At ten places of each image of `examples`, which is encoded before, a preview is requested, a new object is clicked on,
its next candidate is chosen, a second point is added, and a box is drawn: median and 90th percentile. With a zoom,
clicks and boxes include the encoding of crops. Candidates are known, but are stored on the disk before they are sent.
Drawing in the browser is not included.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

import masklet
from benchmarks.machine import ROOT
from masklet.http.security import Access
from masklet.project.media import add_media
from masklet.project.project import Project
from masklet.studio.app import Site
from masklet.studio.connection import Clients
from masklet.studio.messages import unpack
from masklet.studio.server import Server
from masklet.studio.studio import Studio

IMAGES = ("cat.jpg", "coffee.jpg", "fish.jpg", "rocket.jpg")
PLACES = tuple((0.2 + 0.06 * step, 0.3 + 0.04 * step) for step in range(10))  # as shares of the image
KINDS = ("hover", "first_click", "second_click", "candidate", "box")
TIMEOUT_S = 60
SECONDS_TO_ENCODE = 5

Message = dict[str, Any]


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure each runtime and return one row for each."""
    parser = argparse.ArgumentParser(prog="scripts/bench studio", description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runtimes", nargs="+", default=["onnx", "torch"])
    options = parser.parse_args(arguments)
    rows = []
    for runtime in options.runtimes:
        times = _measure(options.model, options.device, runtime)
        medians = {f"{kind}_ms": 1e3 * statistics.median(times[kind]) for kind in KINDS}
        high = {f"{kind}_p90_ms": 1e3 * statistics.quantiles(times[kind], n=10)[-1] for kind in KINDS}
        rows.append({"device": options.device, "model": options.model, "runtime": runtime} | medians | high)
    return rows


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
    headings = [(f"{kind}_ms", kind.replace("_", " "), "{:.1f}") for kind in KINDS]
    high = [(f"{kind}_p90_ms", f"{kind.replace('_', ' ')}, 90 %", "{:.1f}") for kind in KINDS]
    return [("model", "model", "{}"), ("runtime", "runtime", "{}"), *headings, *high]


def _measure(model: str, device: str, runtime: str) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with _serve(lambda: masklet.load(model, device=device, runtime=runtime)) as (project, socket):
        for medium, entry in project.document.media().items():
            visitor = _Visitor(socket, medium)
            visitor.show()
            height, width = entry.size
            for x, y in PLACES:
                visitor.measure_place(x * width, y * height, times)
    return times


@contextmanager
def _serve(load: Callable[[], masklet.Segmenter]) -> Iterator[tuple[Project, ClientConnection]]:
    """Run a studio on the images, and connect to it."""
    with tempfile.TemporaryDirectory() as folder, Project.open(Path(folder) / "project") as project:
        add_media(project, [ROOT / "examples" / name for name in IMAGES])
        clients = Clients()
        with (
            closing(Studio(project, clients, load, "model")) as studio,
            closing(Server(Site(studio, clients), Access())) as server,
            connect(
                f"ws://127.0.0.1:{server.port}/ws",
                additional_headers={"Cookie": _enter(server)},
                compression=None,
                max_size=None,
            ) as socket,
        ):
            yield project, socket


def _enter(server: Server) -> str:
    """Exchange the one-time code for the cookie."""
    code = re.search(r"/enter\?code=[\w-]+", server.entry.path.read_text())
    assert code is not None
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
    connection.request("GET", code[0])
    return (connection.getresponse().headers["Set-Cookie"] or "").partition(";")[0]


class _Visitor:
    """A client that shows one image."""

    def __init__(self, socket: ClientConnection, medium: int) -> None:
        self._socket, self._medium, self._number = socket, medium, 0

    def show(self) -> None:
        """Show the image, and give the server time to encode it and its neighbors."""
        self._send("show")
        self._wait(lambda message: message.get("kind") == "lanes")
        time.sleep(SECONDS_TO_ENCODE)

    def measure_place(self, x: float, y: float, times: dict[str, list[float]]) -> None:
        """Measure all kinds of requests at a place."""
        self._number += 1
        turn = self._number
        with _measuring(times["hover"]):
            self._send("hover", point=[x, y], turn=turn)
            self._wait(lambda message: message.get("kind") == "preview" and message["turn"] == turn)
        with _measuring(times["first_click"]):
            self._send("predict", object=None, points=[[x, y, 1]], box=None)
            object_id = self._wait(lambda message: bool(message.get("cells")))["cells"][0][1]
            self._wait_for_masks()
        with _measuring(times["candidate"]):
            self._send("choose_candidate", object=object_id, candidate=1)
            self._wait_for_masks()
        for kind, points, box in (
            ("second_click", [[x, y, 1], [x + 6, y + 6, 1]], None),
            ("box", [], [x - 20, y - 20, x + 30, y + 30]),
        ):
            with _measuring(times[kind]):
                self._send("predict", object=object_id, points=points, box=box)
                self._wait(lambda message: bool(message.get("cells")))
                self._wait_for_masks()

    def _wait_for_masks(self) -> None:
        self._wait(lambda message: message.get("kind") == "masks")

    def _send(self, command: str, **arguments: Any) -> None:
        place = {"medium": self._medium, "frame": 0}
        self._socket.send(json.dumps({"id": 1, "command": command, **place, **arguments}))

    def _wait(self, condition: Callable[[Message], bool]) -> Message:
        while True:
            data = self._socket.recv(timeout=TIMEOUT_S)
            message: Message = json.loads(data) if isinstance(data, str) else unpack(data)[0]
            assert not message.get("problem"), message
            if condition(message):
                return message


@contextmanager
def _measuring(times: list[float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    times.append(time.perf_counter() - start)
