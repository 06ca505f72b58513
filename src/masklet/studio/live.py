"""Live page of a camera: frames with their masks to the clients, and the clients' prompts to the tracker."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import masklet
from masklet.errors import MaskletError, PromptError
from masklet.http.problems import describe_problem
from masklet.masks.masks import Masks
from masklet.project.classes_of_labels import make_color
from masklet.prompts import Prompt, box, clicks
from masklet.studio.arguments import read_arguments
from masklet.studio.connection import Client, Clients, Content, FrameRequest
from masklet.studio.displayed_masks import resize_mask
from masklet.studio.live_prompts import LivePrompt, Removal
from masklet.studio.messages import encode_runs, pack_masks

MAX_OBJECTS = 256
MAX_WIDTH = 1280  # pixels; wider frames are reduced
_MAX_WAITING = 64  # actions that the tracker has not taken yet
_JPEG_QUALITY = 85

Action = LivePrompt | Removal
Corners = tuple[float, float, float, float]


class LiveCommands:
    """Commands of the live page, and what it shows. All methods may be called by any thread.

    Args:
        camera: Name of the camera.
        size: Size (H, W) of its frames.
        outputs: What is saved: the path of each output by its format or "recording".
        object_ids: The objects that have prompts in advance.
        can_record: Whether users can start and stop recordings.

    Attributes:
        name: Name of the camera.
        clients: The connected clients.
        is_stopped: Whether a user pressed the stop button.
        is_recording: Whether a user wants a recording now.
    """

    def __init__(
        self,
        camera: str,
        size: tuple[int, int],
        outputs: Mapping[str, str],
        object_ids: Iterable[int] = (),
        *,
        can_record: bool = False,
    ) -> None:
        self.clients, self.is_stopped, self.is_recording = Clients(), False, False
        self._can_record = can_record
        self.name, self._size, self._outputs = camera, size, dict(outputs)
        self._object_ids = {*object_ids}
        self._next_id = max(self._object_ids, default=0) + 1
        self._actions: deque[Action] = deque()
        self._held: dict[Client, int] = {}
        self._latest: tuple[dict[str, Any], bytes] | None = None
        self._lock = threading.Lock()
        self._commands: dict[str, Callable[..., Mapping[str, Any]]] = {
            "hello": self._hello,
            "hold": self._hold,
            "predict": self._predict,
            "remove_objects": self._remove_objects,
            "stop": self._stop,
        }
        if can_record:
            self._commands["record"] = self._record

    @property
    def held_frames(self) -> frozenset[int]:
        """The frames that clients have paused on."""
        with self._lock:
            return frozenset(self._held.values())

    @property
    def has_actions(self) -> bool:
        """Whether there are prompts or removals to take."""
        return bool(self._actions)

    def take_actions(self) -> list[Action]:
        """Return the prompts and removals since the last call, in order."""
        with self._lock:
            actions = [*self._actions]
            self._actions.clear()
            return actions

    def show(self, number: int, image: NDArray[np.uint8], masks: Masks, status: Mapping[str, Any]) -> None:
        """Show a frame with its masks.

        Args:
            number: Number of the frame, to which prompts refer.
            image: Image of shape (H, W, 3), uint8 RGB.
            masks: Its masks.
            status: Further fields of the header.
        """
        if not len(self.clients):
            self._latest = None
            return
        reduced = _reduce(image)
        header, runs = _pack({"kind": "frame", "number": number, **status}, masks, reduced.shape[1])
        self._latest = header, runs + _encode_jpeg(reduced)
        for client in self.clients:
            client.send_binary(*self._latest)

    def show_prompted(self, number: int, masks: Masks) -> None:
        """Show the masks of a frame that was prompted to the clients that have paused on it."""
        with self._lock:
            clients = [client for client, held in self._held.items() if held == number]
        if clients:
            header, runs = _pack({"kind": "masks", "number": number}, masks, min(MAX_WIDTH, masks.size[1]))
            for client in clients:
                client.send_binary(header, runs)

    def report(self, error: MaskletError) -> None:
        """Report that a prompt could not be applied."""
        self.clients.broadcast({"event": "problem", "problem": describe_problem(error)})

    def finish(self, error: MaskletError | None = None, *, is_saved: bool = True) -> None:
        """Report the end of the session.

        Args:
            error: Why it ended, if not because the user ended it.
            is_saved: Whether the outputs are complete.
        """
        files, problem = self._outputs if is_saved else None, describe_problem(error) if error else None
        self.clients.broadcast({"event": "ended", "files": files, "problem": problem})

    def connect(self, client: Client) -> None:
        """Show the latest frame to a new client."""
        latest = self._latest
        if latest:
            client.send_binary(*latest)

    def disconnect(self, client: Client) -> None:
        """Release the frame that a client held."""
        with self._lock:
            self._held.pop(client, None)

    async def handle(self, client: Client, command: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run a command and return the fields of its reply."""
        if command not in self._commands:
            message = f"unknown command {command[:60]!r}; the commands are {', '.join(self._commands)}"
            raise MaskletError("bad-request", message)
        run = self._commands[command]
        return run(client, **read_arguments(run, arguments))

    async def handle_binary(self, client: Client, header: Mapping[str, Any], payload: memoryview) -> Mapping[str, Any]:
        """Refuse binary commands."""
        raise MaskletError("bad-request", "the live page has no binary commands")

    def frame(self, request: FrameRequest) -> Content:
        """Refuse, because frames come over the WebSocket."""
        raise PromptError("unknown-frame", "the frames of a camera come over the WebSocket")

    def export(self, name: str) -> Content:
        """Refuse, because the outputs are files."""
        raise PromptError("unknown-object", "a live session has no exports")

    def import_annotations(self, medium: int, name: str, content: bytes) -> Mapping[str, Any]:
        """Refuse, because a camera has no annotations."""
        raise PromptError("unknown-object", "a live session has no imports")

    def _hello(self, client: Client) -> Mapping[str, Any]:
        return {
            "camera": self.name,
            "size": [*self._size],
            "outputs": self._outputs,
            "can_record": self._can_record,
            "version": masklet.__version__,
        }

    def _hold(self, client: Client, *, frame: int | None) -> Mapping[str, Any]:
        with self._lock:
            self._held.pop(client, None)
            self._held |= {} if frame is None else {client: frame}
        return {}

    def _predict(
        self,
        client: Client,
        *,
        frame: int,
        object_id: int | None,
        points: list[tuple[float, float, int]],
        box: Corners | None,
    ) -> Mapping[str, Any]:
        prompt = _make_prompt(points, box)
        prompt.normalize_points(self._size)
        with self._lock:
            number = self._next_id if object_id is None else object_id
            if object_id is not None and object_id not in self._object_ids:
                raise PromptError("unknown-object", f"object {object_id} was removed")
            if len(self._object_ids | {number}) > MAX_OBJECTS:
                raise PromptError("bad-prompt", f"{MAX_OBJECTS} objects are tracked already; remove one first")
            self._queue(LivePrompt(frame, number, prompt))
            self._object_ids.add(number)
            self._next_id = max(self._next_id, number + 1)
        return {"object": number}

    def _remove_objects(self, client: Client, *, objects: list[int]) -> Mapping[str, Any]:
        with self._lock:
            for object_id in dict.fromkeys(objects):
                if object_id in self._object_ids:
                    self._queue(Removal(object_id))
                    self._object_ids.remove(object_id)
        return {}

    def _record(self, client: Client, *, on: bool) -> Mapping[str, Any]:
        self.is_recording = on
        return {}

    def _stop(self, client: Client) -> Mapping[str, Any]:
        self.is_stopped = True
        return {}

    def _queue(self, action: Action) -> None:
        """Add an action. A prompt replaces the one of its object and frame that waits. The caller holds the lock."""
        if isinstance(action, LivePrompt):
            others = [one for one in self._actions if not isinstance(one, LivePrompt) or one[:2] != action[:2]]
            self._actions = deque(others)
        if len(self._actions) >= _MAX_WAITING:
            raise PromptError("bad-prompt", f"{_MAX_WAITING} prompts wait already; try again in a moment")
        self._actions.append(action)


def _make_prompt(
    points: Sequence[tuple[float, float, int]], corners: tuple[float, float, float, float] | None
) -> Prompt:
    parts = [box(*corners)] if corners else []
    parts += [clicks([point[:2] for point in points], [point[2] for point in points])] if points else []
    if not parts:
        raise PromptError("bad-prompt", "a prompt needs at least one click or a box")
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _pack(header: Mapping[str, Any], masks: Masks, width: int) -> tuple[dict[str, Any], bytes]:
    """Return the header and the payload of a message with masks that are reduced to a width."""
    size = _scale(masks.size, width)
    rows = [
        (
            {"object": object_id, "visible": bool(visible), "color": make_color(object_id)},
            encode_runs(resize_mask(mask, size)),
        )
        for object_id, visible, mask in zip(masks.object_ids, masks.visible, masks.binary, strict=True)
    ]
    return pack_masks({**header, "size": [*size]}, rows)


def _scale(size: tuple[int, int], width: int) -> tuple[int, int]:
    return max(1, round(size[0] * width / size[1])), width


def _reduce(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.shape[1] <= MAX_WIDTH:
        return image
    height, width = _scale((image.shape[0], image.shape[1]), MAX_WIDTH)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    encoded_ok, encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert encoded_ok, "OpenCV encodes every RGB image as JPEG"
    return bytes(encoded)
