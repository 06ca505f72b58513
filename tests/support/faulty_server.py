"""Web server on the loopback interface that serves a file with scripted faults."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behavior = Callable[["Handler"], None]


class FaultyServer(ThreadingHTTPServer):
    """Handles request k with `script[k]`, and all later ones with the last behavior.

    Attributes:
        content: The file.
        ranges: The Range headers of the requests so far.
        is_ending: Set when the server stops; it ends behaviors that wait.
    """

    daemon_threads = True

    def __init__(self, content: bytes, script: list[Behavior]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.script = script
        self.ranges: list[str | None] = []
        self.is_ending = threading.Event()

    def handle_error(self, *_: object) -> None:
        """Ignore clients that disconnect."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Runs the behavior for one request."""

    server: FaultyServer

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers.get("Range"))
        script = self.server.script
        behavior = script[min(len(self.server.ranges), len(script)) - 1]
        behavior(self)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass

    def respond(self, status: int, body: bytes, **headers: str) -> None:
        """Send a response. An empty header is left out."""
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def parse_range_start(self) -> int:
        """Return the position of the first requested byte."""
        return int((self.headers.get("Range") or "bytes=0-")[6:-1])


@contextmanager
def serve(content: bytes, *script: Behavior) -> Iterator[FaultyServer]:
    """Run a server for the block."""
    server = FaultyServer(content, list(script))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.is_ending.set()
        server.shutdown()
        server.server_close()


def send_correctly(handler: Handler) -> None:
    """Send the requested range."""
    content, start = handler.server.content, handler.parse_range_start()
    if start:
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.respond(206, content[start:], Content_Range=span)
    else:
        handler.respond(200, content)


def ignore_range(handler: Handler) -> None:
    """Send the complete file and ignore the requested range."""
    handler.respond(200, handler.server.content)


def send_half(handler: Handler) -> None:
    """Send the first half of the requested range, then close the connection."""
    content, start = handler.server.content, handler.parse_range_start()
    rest = content[start:]
    span = f"bytes {start}-{len(content) - 1}/{len(content)}" if start else ""
    length = str(len(rest))
    handler.respond(206 if start else 200, rest[: len(rest) // 2], Content_Length=length, Content_Range=span)


def send_half_and_stall(handler: Handler) -> None:
    """Send the first half of the requested range, then nothing, with the connection open."""
    send_half(handler)
    handler.wfile.flush()
    handler.server.is_ending.wait(30)


def send_nothing(handler: Handler) -> None:
    """Send nothing, with the connection open."""
    handler.server.is_ending.wait(30)


def send_late(handler: Handler) -> None:
    """Send the requested range after 0.2 s."""
    time.sleep(0.2)
    send_correctly(handler)


def send_wrong_byte(handler: Handler) -> None:
    """Send the file with one wrong byte."""
    content = handler.server.content
    handler.respond(200, content[:-1] + bytes([content[-1] ^ 1]))


def send_longer_file(handler: Handler) -> None:
    """Send a longer file."""
    handler.respond(200, handler.server.content + b"more")


def send_longer_without_length(handler: Handler) -> None:
    """Send a longer file without a Content-Length."""
    handler.respond(200, handler.server.content * 3, Content_Length="")


def send_without_length(handler: Handler) -> None:
    """Send the file without a Content-Length."""
    handler.respond(200, handler.server.content, Content_Length="")


def send_wrong_range(handler: Handler) -> None:
    """Send another range than the requested one."""
    content = handler.server.content
    handler.respond(206, content, Content_Range=f"bytes 0-{len(content) - 1}/{len(content)}")


def send_login_page(handler: Handler) -> None:
    """Send a login page."""
    handler.respond(200, b"<html>Welcome to the hotel</html>", Content_Type="text/html; charset=utf-8")


def fail_with(status: int) -> Behavior:
    """Send this status."""
    return lambda handler: handler.respond(status, b"no")


def redirect_to(url: str) -> Behavior:
    """Send a redirect to `url`."""
    return lambda handler: handler.respond(302, b"", Location=url)
