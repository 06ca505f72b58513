"""Connections of the studio: the clients, their bounded queues of messages, and what handles their commands."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from masklet.http.json_text import dump_json
from masklet.http.websocket_protocol import SERVER_ENDS, TRY_LATER
from masklet.studio.messages import pack

MAX_CLIENTS = 16
_MAX_WAITING_BYTES = 64 << 20  # of one client

_REPLACED_EVENTS = ("busy", "progress", "live")


class FrameRequest(NamedTuple):
    """A request for a frame.

    Attributes:
        medium: The image or video.
        frame: Number of the frame.
        width: Greatest width of the response in pixels; None for no limit.
        region: The part (x0, y0, x1, y1) of the frame, in pixels of the frame; None for all of it.
        format: `png` is lossless.
    """

    medium: int
    frame: int
    width: int | None = None
    region: tuple[int, int, int, int] | None = None
    format: Literal["jpeg", "png"] = "jpeg"


class Content(NamedTuple):
    """Content of a response: the bytes or pieces of them, and their media type."""

    body: bytes | Iterator[bytes]
    media_type: str


class Commands(Protocol):
    """Handler of what the clients of a studio send.

    Every method raises `MaskletError` for a request that it refuses. The coroutines run on the server's loop, in the
    order in which the messages arrived up to their first `await`, and must not block; the other methods run in threads.
    """

    def connect(self, client: Client) -> None:
        """Learn of a new client. It runs on the loop, before the first command of the client."""

    def disconnect(self, client: Client) -> None:
        """Forget a client. It runs on the loop."""

    async def handle(self, client: Client, command: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run a command and return the fields of its reply."""

    async def handle_binary(self, client: Client, header: Mapping[str, Any], payload: memoryview) -> Mapping[str, Any]:
        """Run the command of a binary message, `header["command"]`, and return the fields of its reply."""

    def frame(self, request: FrameRequest) -> Content:
        """Return a frame as JPEG or PNG."""

    def export(self, name: str) -> Content:
        """Return the exported folder of a name as a zip archive."""

    def import_annotations(self, medium: int, name: str, content: bytes) -> Mapping[str, Any]:
        """Read the annotation file of a name from its content, and return the reply of `import_annotations`."""


class Client:
    """One connection to the WebSocket.

    Messages wait in a queue, so that a slow client never blocks the caller. A message replaces a waiting one of its
    kind if that is outdated by it: `busy`, `progress` of the same run or export, `lanes` of the same medium, and each
    other kind of binary message, which therefore is always complete. `changes` and replies are never replaced; a client
    that does not read 64 MiB of them is disconnected.

    All methods but `next_message` may be called from any thread.

    Attributes:
        state: For the handler of the commands, such as the medium and frame that the client shows.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.state: dict[str, Any] = {}
        self._loop, self._lock, self._has_message = loop, threading.Lock(), asyncio.Event()
        self._waiting: OrderedDict[object, str | bytes] = OrderedDict()
        self._waiting_bytes, self._close_code = 0, 0

    def send_event(self, event: Mapping[str, Any]) -> None:
        """Send an event, or another JSON object."""
        self._put(_event_key(event), dump_json(event))

    def send_binary(self, header: Mapping[str, Any], payload: bytes | memoryview = b"") -> None:
        """Send a binary message, in place of a waiting one with the same `kind`, of `lanes` with the same `medium`."""
        kind = header["kind"]
        self._put(("binary", kind, header["medium"] if kind == "lanes" else None), pack(header, payload))

    def send_text(self, text: str) -> None:
        """Send JSON text that is not replaced."""
        self._put(object(), text)

    def close(self, code: int = 1000) -> None:
        """Close the connection after the waiting messages. Later messages are dropped."""
        with self._lock:
            self._close_code = self._close_code or code
        self._wake()

    async def next_message(self) -> str | bytes | int:
        """Wait for the next message to send; the code when the connection is to be closed."""
        while True:
            with self._lock:
                if self._waiting:
                    _, message = self._waiting.popitem(last=False)
                    self._waiting_bytes -= len(message)
                    return message
                if self._close_code:
                    return self._close_code
                self._has_message.clear()
            await self._has_message.wait()

    def _put(self, key: object, message: str | bytes) -> None:
        with self._lock:
            if self._close_code:
                return
            self._waiting_bytes += len(message) - len(self._waiting.pop(key, ""))
            self._waiting[key] = message
            if self._waiting_bytes > _MAX_WAITING_BYTES:
                self._waiting.clear()
                self._close_code = TRY_LATER
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._has_message.set)


class Clients:
    """The connected clients. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Client]:
        with self._lock:
            return iter([*self._clients])

    def __len__(self) -> int:
        return len(self._clients)

    def add(self, client: Client) -> bool:
        """Add a client and return true, or return false if `MAX_CLIENTS` are connected."""
        with self._lock:
            if len(self._clients) >= MAX_CLIENTS:
                return False
            self._clients.add(client)
            return True

    def remove(self, client: Client) -> None:
        """Remove a client."""
        with self._lock:
            self._clients.discard(client)

    def broadcast(self, event: Mapping[str, Any]) -> None:
        """Send an event to every client."""
        for client in self:
            client.send_event(event)

    def close(self, code: int = SERVER_ENDS) -> None:
        """Send `closing` to every client and close the connections."""
        self.broadcast({"event": "closing"})
        for client in self:
            client.close(code)


def _event_key(event: Mapping[str, Any]) -> object:
    """Return a key that equals that of the waiting event which `event` replaces."""
    name = event.get("event")
    return (name, event.get("run"), event.get("export")) if name in _REPLACED_EVENTS else object()
