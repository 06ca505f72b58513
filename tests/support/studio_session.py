"""A studio on a small project with a fake model, and clients that record what they are sent."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.backend import Candidates, Decoded, Features, Query
from masklet.errors import MaskletError
from masklet.project.cells import Cell
from masklet.project.media import add_media
from masklet.project.project import Project
from masklet.segmenter import Segmenter
from masklet.studio.connection import Clients
from masklet.studio.messages import decode_runs, encode_runs
from masklet.studio.studio import Studio
from masklet.studio.text_prompts import TextPrompts
from support.color_backend import ColorBackend
from support.gray_detector import make_gray_detector
from support.gray_world import SIZE, Box, draw_boxes

TIMEOUT_S = 60.0
VIDEO, FIRST, SECOND, OTHER = 1, 2, 3, 4
"""The media: a video of six frames, two images of its size, and one of another size."""

FRAMES = 6
LAST: Any = 99  # a priority below all others
GRAY = (80, 160, 240)
"""The gray values of the three boxes on every frame, which are objects."""

CENTERS = {80: (10.5, 10.5), 160: (30.5, 10.5), 240: (50.5, 30.5)}
"""The middle (x, y) of each box on the images and on frame 0. On the video, each moves by a pixel a frame."""


def make_boxes(frame: int = 0) -> dict[int, Box]:
    """Return the boxes of a frame by gray value."""
    return {gray: (int(x) - 4 + frame, int(y) - 4, int(x) + 5 + frame, int(y) + 5) for gray, (x, y) in CENTERS.items()}


def make_mask(gray: int, frame: int = 0) -> NDArray[np.bool_]:
    """Return the mask of a box."""
    return np.asarray(draw_boxes(make_boxes(frame))[..., 0] == gray)


@dataclass
class SlowBackend(ColorBackend):
    """Segments by color. A lone click has three masks: the object, the object and all brighter ones, all but black.

    The second has the highest score. `refined` counts the prompts with a mask. While `gate` is closed, the networks
    wait, or only `encode`, once `free` images are encoded. An `error` is raised by `decode`.
    """

    gate: threading.Event = field(default_factory=threading.Event)
    waiting: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None
    free: int = -1
    refined: int = 0
    decoded: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Features]:
        if self.free <= 0:
            self._wait()
        self.free -= self.free > 0
        return super().encode(images)

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        if self.free < 0:
            self._wait()
        if self.error is not None:
            raise self.error
        self.decoded += 1
        self.refined += sum(query.mask is not None for query in queries)
        decoded = super().decode(features, queries, hide=hide)
        if len(queries) != 1 or not queries[0].ambiguous or hide:
            return decoded
        image, mask = features.stride4, decoded.logits[0, 0] > 0
        value = int(image[mask].min()) if mask.any() else 255
        three = [mask, (image >= max(value, 1)) & mask.any(), image > 0]
        logits = np.where(np.stack([mask, *three])[None], np.float32(10), np.float32(-10))
        iou = np.float32([[0.6, 0.6, 0.9, 0.7]])
        score, pointers = decoded.object_score, decoded.pointer[:, None].repeat(4, 1)
        return Decoded(logits[:, 2:3], iou[:, 2:3], score, decoded.pointer, Candidates(logits, iou, score, pointers))

    def close_gate(self, free: int = -1) -> None:
        """Let the networks wait, or only `encode`, once `free` further images are encoded."""
        self.free = free
        self.waiting.clear()
        self.gate.clear()

    def _wait(self) -> None:
        self.waiting.set()
        assert self.gate.wait(TIMEOUT_S)


class RecordingClient:
    """A client that records events and binary messages."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.binaries: list[tuple[dict[str, Any], bytes]] = []

    def send_event(self, event: dict[str, Any]) -> None:
        """Record an event."""
        self.events.append(event)

    def send_binary(self, header: dict[str, Any], payload: bytes = b"") -> None:
        """Record a binary message."""
        self.binaries.append((header, payload))

    def list_events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of a name."""
        return [event for event in [*self.events] if event["event"] == name]

    def list_binaries(self, kind: str) -> list[tuple[dict[str, Any], bytes]]:
        """Return the binary messages of a kind."""
        return [message for message in [*self.binaries] if message[0]["kind"] == kind]

    def last_masks(self, kind: str = "masks") -> dict[int, NDArray[np.bool_]]:
        """Return the masks of the last message, by object, or by position if they have none."""
        header, payload = self.list_binaries(kind)[-1]
        masks, start = {}, 0
        for position, fields in enumerate(header["masks"]):
            stop = start + 4 * fields["runs"]
            masks[fields.get("object", position)] = decode_runs(payload[start:stop], tuple(header["size"]))
            start = stop
        return masks


class Session:
    """A studio with a client."""

    def __init__(self, folder: Path, backend: ColorBackend, load: Callable[[], Segmenter] | None = None) -> None:
        self.folder, self.backend = folder, backend
        self.project = Project.open(folder / "project")
        if not self.project.document.media():
            add_media(self.project, [folder / "clip"], frame_folders=True)
            add_media(self.project, [folder / name for name in ("a.png", "b.png", "c.png")])
        self.clients = Clients()
        self.client = self.add_client()
        load = load or (lambda: Segmenter(backend))
        self._seq = self.project.seq
        prompts = TextPrompts("gray", lambda: make_gray_detector)
        self.studio = Studio(self.project, self.clients, load, "fake", [folder], prompts)

    def add_client(self) -> RecordingClient:
        """Connect another client."""
        client: Any = RecordingClient()
        self.clients.add(client)
        return client

    def run(self, command: str, client: Any = None, **arguments: Any) -> dict[str, Any]:
        """Run a command and return its reply. `class_` is the argument `class`."""
        named = {name.rstrip("_"): value for name, value in arguments.items()}
        return dict(asyncio.run(self.studio.handle(client or self.client, command, named)))

    def refuse(self, command: str, code: str = "", **arguments: Any) -> str:
        """Run a command that is refused and changes nothing. Return the message."""
        seq = self.project.seq
        try:
            self.run(command, **arguments)
        except MaskletError as error:
            assert code in ("", error.code) and self.project.seq == seq
            return error.message
        raise AssertionError(f"{command} is not refused")

    def paint(self, mask: NDArray[np.bool_], client: Any = None, **header: Any) -> dict[str, Any]:
        """Run the command `paint`."""
        header = {"id": 1, "command": "paint", "size": [*mask.shape], "class": None, **header}
        payload = memoryview(encode_runs(mask).tobytes())
        return dict(asyncio.run(self.studio.handle_binary(client or self.client, header, payload)))

    def click(self, gray: int, medium: int = FIRST, frame: int = 0, object_: int | None = None) -> int:
        """Click on a box, wait for the mask, and return the object."""
        x, y = CENTERS[gray]
        point = [x + frame if medium == VIDEO else x, y, 1]
        reply = self.run("predict", medium=medium, frame=frame, object=object_, points=[point], box=None)
        self.settle()
        return int(reply["object"])

    def settle(self) -> None:
        """Wait until the engine has no work, and the client has been sent all changes."""
        assert self.studio._engine.submit(LAST, lambda model: None).wait(TIMEOUT_S)
        seq = self.project.seq
        self.wait_for(lambda: max([self._seq, *(event["seq"] for event in self.client.list_events("changes"))]) >= seq)

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds. One that reads the last message raises `IndexError` before the first."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            with suppress(IndexError):
                if condition():
                    return
            assert time.monotonic() < deadline, "it takes too long"
            time.sleep(0.002)

    def cell(self, object_id: int, medium: int = FIRST, frame: int = 0) -> Cell | None:
        """Return a cell."""
        return self.project.document.cell(medium, object_id, frame)

    def mask(self, object_id: int, medium: int = FIRST, frame: int = 0) -> NDArray[np.bool_] | None:
        """Return the mask of a cell, or None."""
        cell = self.cell(object_id, medium, frame)
        return None if cell is None or cell.mask is None else self.project.masks(medium).read(cell.mask)

    def close(self) -> None:
        """Close studio and project."""
        gate = getattr(self.backend, "gate", None)
        if gate is not None:
            gate.set()
        self.studio.close()
        self.project.close()


def write_media(folder: Path) -> None:
    """Write the images and the frames of the video."""
    (folder / "clip").mkdir()
    for frame in range(FRAMES):
        Image.fromarray(draw_boxes(make_boxes(frame))).save(folder / "clip" / f"{frame:03d}.png")
    for name in ("a.png", "b.png"):
        Image.fromarray(draw_boxes(make_boxes())).save(folder / name)
    Image.fromarray(np.zeros((SIZE[0] + 1, SIZE[1], 3), np.uint8)).save(folder / "c.png")


@contextmanager
def open_session(folder: Path, backend: ColorBackend | None = None, **options: Any) -> Iterator[Session]:
    """Open a studio on the media of a folder, which are written if it has none."""
    if not (folder / "clip").exists():
        write_media(folder)
    session = Session(folder, SlowBackend() if backend is None else backend, **options)
    try:
        yield session
    finally:
        session.close()
