"""A studio's server with commands that record what they receive, and a visitor that talks to it."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any, NamedTuple

from websockets.sync.client import ClientConnection, connect

from masklet.errors import InputNotFound, PromptError
from masklet.http.security import Access
from masklet.studio.app import Site
from masklet.studio.connection import Client, Clients, Content, FrameRequest
from masklet.studio.server import Server


class RecordedCommands:
    """Commands that reply with what they received."""

    def __init__(self, clients: Clients) -> None:
        self.clients, self.frames = clients, list[FrameRequest]()

    def connect(self, client: Client) -> None:
        """Do nothing."""

    def disconnect(self, client: Client) -> None:
        """Do nothing."""

    async def handle(self, client: Client, command: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Reply with the arguments; fail where the command is the name of a failure."""
        if command == "refuse":
            raise PromptError("bad-prompt", "the point lies outside", hint="choose another")
        if command == "fail":
            raise ZeroDivisionError("division by zero")
        if command == "broadcast":
            self.clients.broadcast({"event": "changes", **arguments})
        return {"command": command, "arguments": dict(arguments)}

    async def handle_binary(self, client: Client, header: Mapping[str, Any], payload: memoryview) -> Mapping[str, Any]:
        """Reply with the length of the payload."""
        return {"header": dict(header), "length": len(payload)}

    def frame(self, request: FrameRequest) -> Content:
        """Return the request as text. Frame 404 does not exist."""
        self.frames.append(request)
        if request.frame == 404:
            raise PromptError("unknown-frame", "there is no frame 404")
        return Content(repr(tuple(request)).encode(), f"image/{request.format}")

    def export(self, name: str) -> Content:
        """Return the name in pieces. `missing` does not exist."""
        if name == "missing":
            raise InputNotFound("input-not-found", "there is no such export")
        return Content(iter([name.encode(), b"!"]), "application/zip")

    def import_annotations(self, medium: int, name: str, content: bytes) -> Mapping[str, Any]:
        """Return what was received."""
        return {"medium": medium, "name": name, "length": len(content)}


class Response(NamedTuple):
    """A response of the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of a problem response."""
        assert self.headers["content-type"] == "application/problem+json", self
        return json.loads(self.body)["code"]


class Visitor:
    """A browser without a screen.

    Args:
        server: The server.
        cookie: The cookie; by default the one that the private file leads to.
    """

    def __init__(self, server: Server, cookie: str | None = None) -> None:
        self.port = server.port
        self.cookie = enter(server) if cookie is None else cookie

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Response:
        """Send a request. Underscores in the names of headers stand for hyphens."""
        names = {"Cookie": self.cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, names)
            response = connection.getresponse()
            return Response(
                response.status, {name.lower(): text for name, text in response.getheaders()}, response.read()
            )

    def get(self, path: str, **headers: str) -> Response:
        """Send a GET request."""
        return self.request("GET", path, **headers)

    def connect(self, path: str = "/ws", **options: Any) -> AbstractContextManager[ClientConnection]:
        """Open the WebSocket for a block."""
        address = f"ws://127.0.0.1:{self.port}{path}"
        return connect(address, additional_headers={"Cookie": self.cookie}, compression=None, proxy=None, **options)


def read_code(server: Server) -> str:
    """Return the one-time code in the private file."""
    found = re.search(r"/enter\?code=([\w-]+)", server.entry.path.read_text())
    assert found
    return found[1]


def enter(server: Server) -> str:
    """Exchange the code in the private file for the cookie, and return it."""
    response = Visitor(server, "").get(f"/enter?code={read_code(server)}")
    assert response.status == 200
    return response.headers["set-cookie"].partition(";")[0]


def ask(socket: ClientConnection, command: str, number: int = 1, **arguments: Any) -> dict[str, Any]:
    """Send a command and return its reply; other messages are dropped."""
    socket.send(json.dumps({"id": number, "command": command, **arguments}))
    while True:
        message = socket.recv(timeout=60)
        if isinstance(message, str) and (reply := json.loads(message)).get("reply") == number:
            return reply


@contextmanager
def serve(access: Access | None = None, port: int = 0, **site: Any) -> Iterator[Server]:
    """Run a server with `RecordedCommands`."""
    clients = Clients()
    with closing(Server(Site(RecordedCommands(clients), clients, **site), access or Access(), port=port)) as server:
        yield server
