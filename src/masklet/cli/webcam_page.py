"""A page on this machine that shows a live picture and takes clicks on it.

Only this machine reaches it, and on it only who knows its address, which holds a secret: pages of the web that the same
browser shows can neither see the picture nor click on it.
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import ResourceError

HOST = "127.0.0.1"
WIDEST = 1280  # pixels of the picture on the page
_QUALITY = 85
_MOST_BYTES = 4096  # of a request's body
_MOST_WAITING = 64  # clicks that nobody has taken yet
_PATIENCE = 1.0  # seconds after which a picture is sent again, so that a closed page is noticed
_STALLED = 10.0  # seconds without progress after which a connection is given up
_POLICY = "default-src 'self'; script-src 'nonce-{0}'; style-src 'self' 'nonce-{0}'; frame-ancestors 'none'"


class Clicked(NamedTuple):
    """A click at (x, y) in fractions of the picture: on `object_id` or off it; None is an object that is new."""

    x: float
    y: float
    positive: bool
    object_id: int | None


class Removed(NamedTuple):
    """An object that is to be followed no longer."""

    object_id: int


class Page:
    """A page that is served until it is closed. Raises `ResourceError` where its port is taken.

    `port` 0 is any free one. `stopped` is true once the page's button was pressed.
    """

    def __init__(self, port: int = 0) -> None:
        self.stopped = False
        self.secret = secrets.token_urlsafe(16)
        self._change = threading.Condition()
        self._picture, self._number, self._closed = b"", 0, False
        self._status: dict[str, Any] = {"line": "waiting for the first picture", "objects": [], "message": ""}
        self._asked: deque[Clicked | Removed] = deque(maxlen=_MOST_WAITING)
        try:
            self._server = _Server((HOST, port), _handler(self))
        except OSError as cause:
            message = f"the page cannot be served at {HOST}:{port} ({cause.strerror}); choose another --port"
            raise ResourceError("port-taken", message) from cause
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), daemon=True, name="masklet-page"
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """Where the page is served."""
        return self._server.server_port

    @property
    def address(self) -> str:
        """What a browser calls the page."""
        return f"http://{HOST}:{self.port}/{self.secret}/"

    def show(self, picture: NDArray[np.uint8], status: dict[str, Any]) -> None:
        """The latest picture (H, W, 3) uint8 RGB and what is said under it: `line`, `objects`, `message`."""
        encoded = _jpeg(picture)
        with self._change:
            self._picture, self._status = encoded, status
            self._number += 1
            self._change.notify_all()

    def asked(self) -> list[Clicked | Removed]:
        """What was clicked since the last call, in order."""
        with self._change:
            asked = [*self._asked]
            self._asked.clear()
            return asked

    def close(self) -> None:
        """Serve no longer. Streams end; a connection that is stuck is left behind."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_STALLED)

    def ask(self, what: Clicked | Removed) -> None:
        """Something was clicked."""
        with self._change:
            self._asked.append(what)

    def status(self) -> dict[str, Any]:
        """What is said under the picture."""
        with self._change:
            return self._status

    def after(self, number: int) -> tuple[bytes, int] | None:
        """A picture later than `number`, or the same again after a while, as JPEG with its number; None at the end."""
        with self._change:
            self._change.wait_for(lambda: self._closed or self._number > number, _PATIENCE)
            return None if self._closed else (self._picture, self._number)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a browser that keeps its stream open must not keep the program alive

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up in the middle of an answer is not worth a word; our own mistakes are."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _handler(page: Page) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.page = page
    return Handler


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    page: Page
    protocol_version = "HTTP/1.1"
    timeout = _STALLED

    def do_GET(self) -> None:
        """The page, its stream, its status."""
        answers: dict[str | None, Callable[[], None]] = {"": self._page, "stream": self._stream, "status": self._status}
        answer = answers.get(self._place())
        if answer is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            answer()

    def do_POST(self) -> None:
        """A click, a removal, the end."""
        place, own = self._place(), f"http://{self.headers.get('Host')}"
        if place not in ("click", "remove", "stop"):
            return self._refuse(HTTPStatus.NOT_FOUND)
        if self.headers.get("Origin", own) != own:
            return self._refuse(HTTPStatus.FORBIDDEN)
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BYTES:
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            self._take(place, json.loads(self.rfile.read(int(length))))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return self._refuse(HTTPStatus.BAD_REQUEST)
        return self._send(b"{}", "application/json")

    def _take(self, place: str, told: dict[str, Any]) -> None:
        if place == "stop":
            self.page.stopped = True
        elif place == "remove":
            self.page.ask(Removed(int(told["object"])))
        else:
            x, y = float(told["x"]), float(told["y"])
            if not (0 <= x <= 1 and 0 <= y <= 1):
                raise ValueError("a click is within the picture")
            known = told.get("object")
            self.page.ask(Clicked(x, y, bool(told["positive"]), None if known is None else int(known)))

    def _place(self) -> str | None:
        """What of the page is asked for; None for whoever does not know its secret, or another machine's name."""
        port = self.page.port
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            return None
        _, secret, *rest = f"{self.path}/".split("/")
        known = secrets.compare_digest(secret.encode(), self.page.secret.encode())
        return rest[0] if known and rest else None

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(12)
        text = files("masklet.cli").joinpath("page.html").read_text(encoding="utf-8").replace("NONCE", nonce)
        self._send(text.encode(), "text/html; charset=utf-8", _POLICY.format(nonce))

    def _status(self) -> None:
        self._send(json.dumps(self.page.status()).encode(), "application/json")

    def _stream(self) -> None:
        """Pictures one after the other, each in place of the last, for as long as somebody looks."""
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self._say_headers("multipart/x-mixed-replace; boundary=picture")
        number = 0
        try:
            while (found := self.page.after(number)) is not None:
                picture, number = found
                if picture:
                    head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                    self.wfile.write(head.encode() + picture + b"\r\n")
        except OSError:
            return  # nobody looks any more

    def _send(self, content: bytes, kind: str, policy: str = "default-src 'none'") -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(content)))
        self._say_headers(kind, policy)
        self.wfile.write(content)

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self._say_headers("text/plain")

    def _say_headers(self, kind: str, policy: str = "default-src 'none'") -> None:
        for name, value in (
            ("Content-Type", kind),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", policy),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
        ):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *told: Any) -> None:
        """Nothing: the terminal belongs to the command."""


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    height, width = picture.shape[:2]
    if width > WIDEST:
        picture = np.asarray(
            cv2.resize(picture, (WIDEST, max(1, round(height * WIDEST / width))), interpolation=cv2.INTER_AREA)
        )
    done, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done, "a picture of three colours becomes a JPEG"
    return encoded.tobytes()
