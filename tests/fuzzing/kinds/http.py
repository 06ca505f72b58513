"""HTTP requests and commands of the studio, against a server with a small project and a fake model.

A request is sent as it is. The studio never fails (status 5xx), and every refusal is a problem with a code.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.mutation import mutate_json, mutate_text
from fuzzing.target import Target, require
from masklet.http.json_text import load_json
from masklet.http.security import Access
from masklet.studio.app import Site
from masklet.studio.connection import Clients
from masklet.studio.messages import encode_runs, pack, unpack
from masklet.studio.server import Server
from support.studio import enter
from support.studio_requests import COMMANDS, RESOURCES
from support.studio_session import FIRST, LAST, Session, make_mask, open_session

_COOKIE, _HOST = b"{cookie}", b"{host}"  # in seeds and in the corpus
_TIMEOUT_S = 60.0
_ENDLESS = frozenset({"export", "add_media", "propose", "stop"})  # they write folders or start long runs


def make_requests() -> list[bytes]:
    """Make a request to each resource, with a name of the server and a cookie to be filled in."""
    head = b"Host: " + _HOST + b"\r\nCookie: " + _COOKIE + b"\r\nConnection: close\r\n"
    coco = json.dumps({"images": [], "annotations": [], "categories": []}).encode()
    requests = []
    for name, pieces in RESOURCES.items():
        method = name.split()[0].encode()
        body = coco if method == b"POST" else b""
        length = b"Content-Length: %d\r\n" % len(body) if body else b""
        requests.append(method + b" " + "".join(pieces).encode() + b" HTTP/1.1\r\n" + head + length + b"\r\n" + body)
    upload = b"POST /imports/2?name=a.json HTTP/1.1\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\n"
    upgrade = b"Upgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    requests.append(upload + b"%x\r\n%s\r\n0\r\n\r\n" % (len(coco), coco))
    requests.append(b"GET /ws HTTP/1.1\r\n" + head.replace(b"close", b"Upgrade") + upgrade + b"\r\n")
    return requests


class _Sender:
    """Sends requests to a server, and checks the responses."""

    def __init__(self, server: Server) -> None:
        self.server, self.cookie = server, enter(server).encode()

    def check(self, path: Path) -> None:
        """Send the request of a file."""
        request = path.read_bytes().replace(_COOKIE, self.cookie)
        request = request.replace(_HOST, b"127.0.0.1:%d" % self.server.port)
        with closing(socket.create_connection(("127.0.0.1", self.server.port), _TIMEOUT_S)) as connection:
            try:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                response = HTTPResponse(connection, method="HEAD" if request.startswith(b"HEAD") else "GET")
                response.begin()
                body = response.read()
            except (HTTPException, ConnectionError, ValueError):
                return  # an incomplete request has no response
        require(response.status < 500 or response.status in (501, 505), f"status {response.status}: {body[:300]!r}")
        if response.status >= 400:
            kind = response.headers.get("Content-Type", "")
            require(kind == "application/problem+json", f"status {response.status} of type {kind!r}: {body[:99]!r}")
            require(bool(json.loads(body)["code"]) if body else True, "a problem without a code")


def _check_command(path: Path, session: Session) -> None:
    """Run a command of the WebSocket."""
    try:
        message = load_json(path.read_bytes().decode())
    except ValueError:
        return
    if not isinstance(message, dict) or not isinstance(message.get("command"), str) or message["command"] in _ENDLESS:
        return
    arguments = {name: value for name, value in message.items() if name not in ("id", "command")}
    reply: Any = asyncio.run(session.studio.handle(session.client, message["command"], arguments))
    if callable(reply):
        reply()
    require(session.studio._engine.submit(LAST, lambda model: None).wait(_TIMEOUT_S), "the engine hangs")
    require(not [event for event in session.client.events if event.get("code") == "internal"], "a problem is internal")
    session.client.events.clear()
    session.client.binaries.clear()


def _check_binary(path: Path, session: Session) -> None:
    """Run a binary command of the WebSocket."""
    header, payload = unpack(path.read_bytes())
    asyncio.run(session.studio.handle_binary(session.client, header, payload))


def _mutate_request(content: bytes, rng: Random) -> bytes:
    head, end, body = content.partition(b"\r\n\r\n")
    if body and rng.random() < 0.3:
        return head + end + mutate_text(body, rng)
    return mutate_text(content, rng)


@contextmanager
def open_targets(folder: Path) -> Iterator[list[Target]]:
    """Open the targets: requests, commands in JSON, and binary commands."""
    commands = [
        json.dumps({"id": 1, "command": name, **arguments}).encode()
        for name, arguments in COMMANDS.items()
        if name not in _ENDLESS
    ]
    mask = make_mask(80)
    header = {"id": 1, "command": "paint", "medium": FIRST, "frame": 0, "object": None, "class": None}
    paint = pack({**header, "size": [*mask.shape]}, encode_runs(mask).tobytes())
    with (
        open_session(folder) as session,
        open_session(_second(folder)) as other,
        closing(Server(Site(other.studio, Clients()), Access())) as server,
    ):
        request, command, binary = folder / "request", folder / "command", folder / "binary"
        yield [
            _Target("request", request, make_requests(), partial(_Sender(server).check, request), _mutate_request),
            _Target("command", command, commands, partial(_check_command, command, session), mutate_json),
            _Target("binary", binary, [paint], partial(_check_binary, binary, session)),
        ]


def _second(folder: Path) -> Path:
    (folder / "served").mkdir(exist_ok=True)
    return folder / "served"


class _Target(Target):
    """A target whose sound inputs may be refused, because the studio's state changes."""

    def run(self, content: bytes) -> str:
        """Check a content."""
        super().run(content)
        return ""
