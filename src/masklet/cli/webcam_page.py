"""Webcam page: a local HTTP server that streams frames to a browser and receives clicks.

The server listens on the loopback address. Its URL contains a secret, and requests with another Host or Origin are
refused, so websites in the same browser can neither read the frames nor click.
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
MAX_WIDTH = 1280  # pixels; wider frames are reduced
_JPEG_QUALITY = 85
_MAX_BODY_BYTES = 4096
_MAX_PENDING = 64  # clicks that the session has not taken yet
_RESEND_S = 1.0  # after this time a frame is sent again, which detects a closed connection
_SEND_TIMEOUT_S = 10.0
_POLICY = "default-src 'self'; script-src 'nonce-{0}'; style-src 'self' 'nonce-{0}'; frame-ancestors 'none'"


class Click(NamedTuple):
    """A click at (x, y), in fractions of the frame, for `object_id`; None stands for a new object."""

    x: float
    y: float
    positive: bool
    object_id: int | None


class Removal(NamedTuple):
    """A request to remove an object."""

    object_id: int


class Page:
    """A page that is served until it is closed.

    Attributes:
        stopped: Whether the stop button was pressed.

    Raises:
        ResourceError: `port-taken` if the server cannot listen on `port`. 0 stands for any free port.
    """

    def __init__(self, port: int = 0) -> None:
        self.stopped = False
        self.secret = secrets.token_urlsafe(16)
        self._change = threading.Condition()
        self._frame, self._number, self._closed = b"", 0, False
        self._status: dict[str, Any] = {"line": "waiting for the first frame", "objects": [], "message": ""}
        self._actions: deque[Click | Removal] = deque(maxlen=_MAX_PENDING)
        try:
            self._server = _Server((HOST, port), _make_handler(self))
        except OSError as cause:
            message = f"the page cannot be served at {HOST}:{port} ({cause.strerror}); choose another --port"
            raise ResourceError("port-taken", message) from cause
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), daemon=True, name="masklet-page"
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port of the server."""
        return self._server.server_port

    @property
    def address(self) -> str:
        """The URL of the page, which contains the secret."""
        return f"http://{HOST}:{self.port}/{self.secret}/"

    def show(self, image: NDArray[np.uint8], status: dict[str, Any]) -> None:
        """Replace the frame and the status.

        Args:
            image: Image of shape (H, W, 3), uint8 RGB.
            status: The texts below the frame: `line`, `objects` and `message`.
        """
        encoded = _encode_jpeg(image)
        with self._change:
            self._frame, self._status = encoded, status
            self._number += 1
            self._change.notify_all()

    def take_actions(self) -> list[Click | Removal]:
        """Return the clicks and removals since the last call, in order."""
        with self._change:
            actions = [*self._actions]
            self._actions.clear()
            return actions

    def close(self) -> None:
        """Stop the server. Streams end; connections that do not respond are abandoned."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_SEND_TIMEOUT_S)

    def add_action(self, action: Click | Removal) -> None:
        """Queue a click or removal for the session."""
        with self._change:
            self._actions.append(action)

    def status(self) -> dict[str, Any]:
        """Return the texts below the frame."""
        with self._change:
            return self._status

    def wait_for_frame(self, number: int) -> tuple[bytes, int] | None:
        """Wait for a frame after `number`, and return it as JPEG with its number; None when the page is closed.

        After `_RESEND_S` seconds without a new frame, the latest one is returned again.
        """
        with self._change:
            self._change.wait_for(lambda: self._closed or self._number > number, _RESEND_S)
            return None if self._closed else (self._frame, self._number)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # an open stream must not keep the process alive

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect during a response; report other errors."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _make_handler(page: Page) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.page = page
    return Handler


class _Handler(BaseHTTPRequestHandler):
    """Handler of one connection."""

    page: Page
    protocol_version = "HTTP/1.1"
    timeout = _SEND_TIMEOUT_S

    def do_GET(self) -> None:
        """Send the page, the stream or the status."""
        senders: dict[str | None, Callable[[], None]] = {
            "": self._send_page,
            "stream": self._send_stream,
            "status": self._send_status,
        }
        send = senders.get(self._resource())
        if send is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            send()

    def do_POST(self) -> None:
        """Receive a click, a removal or the stop button."""
        resource, origin = self._resource(), f"http://{self.headers.get('Host')}"
        if resource not in ("click", "remove", "stop"):
            return self._refuse(HTTPStatus.NOT_FOUND)
        if self.headers.get("Origin", origin) != origin:
            return self._refuse(HTTPStatus.FORBIDDEN)
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MAX_BODY_BYTES:
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            self._receive(resource, json.loads(self.rfile.read(int(length))))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return self._refuse(HTTPStatus.BAD_REQUEST)
        return self._send(b"{}", "application/json")

    def _receive(self, resource: str, body: dict[str, Any]) -> None:
        if resource == "stop":
            self.page.stopped = True
        elif resource == "remove":
            self.page.add_action(Removal(int(body["object"])))
        else:
            x, y = float(body["x"]), float(body["y"])
            if not (0 <= x <= 1 and 0 <= y <= 1):
                raise ValueError("the click lies outside the frame")
            object_id = body.get("object")
            self.page.add_action(Click(x, y, bool(body["positive"]), None if object_id is None else int(object_id)))

    def _resource(self) -> str | None:
        """Return the requested resource; None if the secret is wrong or the Host is not this server."""
        port = self.page.port
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            return None
        _, secret, *rest = f"{self.path}/".split("/")
        is_authorized = secrets.compare_digest(secret.encode(), self.page.secret.encode())
        return rest[0] if is_authorized and rest else None

    def _send_page(self) -> None:
        nonce = secrets.token_urlsafe(12)
        text = files("masklet.cli").joinpath("webcam_page.html").read_text(encoding="utf-8").replace("NONCE", nonce)
        self._send(text.encode(), "text/html; charset=utf-8", _POLICY.format(nonce))

    def _send_status(self) -> None:
        self._send(json.dumps(self.page.status()).encode(), "application/json")

    def _send_stream(self) -> None:
        """Send frames as motion JPEG until the client disconnects or the page is closed."""
        self.close_connection = True
        self.send_response(HTTPStatus.OK)
        self._send_headers("multipart/x-mixed-replace; boundary=frame")
        number = 0
        try:
            while (received := self.page.wait_for_frame(number)) is not None:
                jpeg, number = received
                if jpeg:
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
        except OSError:
            return  # the client has disconnected

    def _send(self, content: bytes, kind: str, policy: str = "default-src 'none'") -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(content)))
        self._send_headers(kind, policy)
        self.wfile.write(content)

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self._send_headers("text/plain")

    def _send_headers(self, kind: str, policy: str = "default-src 'none'") -> None:
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

    def log_message(self, *_: Any) -> None:
        """Log nothing: stderr has the status line of the command."""


def _encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    height, width = image.shape[:2]
    if width > MAX_WIDTH:
        size = MAX_WIDTH, max(1, round(height * MAX_WIDTH / width))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    encoded_ok, encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert encoded_ok, "OpenCV encodes every RGB image as JPEG"
    return encoded.tobytes()
