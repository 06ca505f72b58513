"""A web server on this machine that answers as told, for a file that somebody wants to download."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[["Handler"], None]


class FaultyServer(ThreadingHTTPServer):
    """Answers request k as `script[k]` says, all later ones as the last says; `ranges` are the Range headers it saw."""

    daemon_threads = True

    def __init__(self, content: bytes, script: list[Behaviour]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.script = script
        self.ranges: list[str | None] = []
        self.ending = threading.Event()

    def handle_error(self, *_: object) -> None:
        """Clients may hang up."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: FaultyServer

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers.get("Range"))
        script = self.server.script
        behaviour = script[min(len(self.server.ranges), len(script)) - 1]
        behaviour(self)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def wanted(self) -> int:
        return int((self.headers.get("Range") or "bytes=0-")[6:-1])


@contextmanager
def serving(content: bytes, *script: Behaviour) -> Iterator[FaultyServer]:
    server = FaultyServer(content, list(script))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ending.set()
        server.shutdown()
        server.server_close()


def well(handler: Handler) -> None:
    """As a good server does."""
    content, start = handler.server.content, handler.wanted()
    if start:
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.answer(206, content[start:], Content_Range=span)
    else:
        handler.answer(200, content)


def whole(handler: Handler) -> None:
    """All of it, whatever was asked for."""
    handler.answer(200, handler.server.content)


def half(handler: Handler) -> None:
    """The first half of what was asked for, then the end of the connection."""
    content, start = handler.server.content, handler.wanted()
    rest = content[start:]
    span = f"bytes {start}-{len(content) - 1}/{len(content)}" if start else ""
    length = str(len(rest))
    handler.answer(206 if start else 200, rest[: len(rest) // 2], Content_Length=length, Content_Range=span)


def stalling(handler: Handler) -> None:
    """Half of it, then nothing for ever."""
    half(handler)
    handler.wfile.flush()
    handler.server.ending.wait(30)


def silent(handler: Handler) -> None:
    """Nothing at all."""
    handler.server.ending.wait(30)


def slow(handler: Handler) -> None:
    """Well, but after a while."""
    time.sleep(0.2)
    well(handler)


def corrupt(handler: Handler) -> None:
    """One byte is another."""
    content = handler.server.content
    handler.answer(200, content[:-1] + bytes([content[-1] ^ 1]))


def longer(handler: Handler) -> None:
    """Something larger."""
    handler.answer(200, handler.server.content + b"more")


def endless(handler: Handler) -> None:
    """Something larger, whose length is not told."""
    handler.answer(200, handler.server.content * 3, Content_Length="")


def untold(handler: Handler) -> None:
    """The right thing, whose length is not told."""
    handler.answer(200, handler.server.content, Content_Length="")


def elsewhere(handler: Handler) -> None:
    """Other bytes than those asked for."""
    content = handler.server.content
    handler.answer(206, content, Content_Range=f"bytes 0-{len(content) - 1}/{len(content)}")


def page(handler: Handler) -> None:
    """A page to log in."""
    handler.answer(200, b"<html>Welcome to the hotel</html>", Content_Type="text/html; charset=utf-8")


def failing(status: int) -> Behaviour:
    return lambda handler: handler.answer(status, b"no")


def leading(url: str) -> Behaviour:
    """A redirection."""
    return lambda handler: handler.answer(302, b"", Location=url)
