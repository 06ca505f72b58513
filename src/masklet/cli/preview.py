"""A page on this machine that shows live pictures: nothing to install, nobody else can look, nobody makes it wait."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_ADDRESS = "127.0.0.1"  # never another one: what a camera sees stays on this machine
_WATCHERS = 8  # connections that are served at once
_PATIENCE = 10.0  # seconds that a slow one may take for a picture
_QUALITY = 80  # of the JPEGs
_BOUNDARY = "picture"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>masklet</title>
<link rel="stylesheet" href="preview.css">
<img src="stream" alt="what the camera sees, with masks">
<p id="status">waiting for the first picture</p>
<script src="preview.js"></script>
</html>
"""
_STYLE = """body { margin: 0; background: #111; color: #ddd; font: 16px system-ui, sans-serif; text-align: center }
img { max-width: 100%; max-height: 92vh }
"""
_SCRIPT = """const line = document.getElementById("status");
async function look() {
  try {
    const status = await (await fetch("status")).json();
    line.textContent = status.text;
  } catch (error) {
    line.textContent = "masklet has ended";
  }
  setTimeout(look, 500);
}
look();
"""


class Preview:
    """The page and its server. `show` gives it pictures; every watcher sees those it has time for, the latest."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._picture: NDArray[np.uint8] | None = None
        self._number, self._jpeg, self._encoded = 0, b"", -1
        self._text, self._over = "", False
        self.watchers = 0
        secret = secrets.token_urlsafe(16)  # other people's programs on this machine do not know it
        handler = type("Handler", (_Handler,), {"preview": self, "secret": secret})
        self._server = ThreadingHTTPServer((_ADDRESS, 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True, name="masklet-preview").start()
        self.port: int = self._server.server_address[1]
        self.url = f"http://{_ADDRESS}:{self.port}/{secret}/"

    def show(self, picture: NDArray[np.uint8], text: str) -> None:
        """A new picture (H, W, 3) RGB, and a line about it. Returns at once."""
        with self._change:
            self._picture, self._text = picture, text
            self._number += 1
            self._change.notify_all()

    def close(self) -> None:
        """End the page."""
        with self._change:
            self._over = True
            self._change.notify_all()
        self._server.shutdown()
        self._server.server_close()

    @property
    def status(self) -> Mapping[str, Any]:
        """What the page says under the picture."""
        with self._change:
            return {"pictures": self._number, "text": self._text}

    def after(self, number: int) -> tuple[int, bytes] | None:
        """The latest picture as JPEG and its number, as soon as that is above `number`; None at the end."""
        with self._change:
            self._change.wait_for(lambda: self._number > number or self._over)
            if self._over or self._picture is None:
                return None
            if self._encoded != self._number:
                options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
                self._jpeg = cv2.imencode(".jpg", self._picture[:, :, ::-1], options)[1].tobytes()
                self._encoded = self._number
            return self._number, self._jpeg

    def enter(self) -> bool:
        """Whether there is room for one more watcher, who then is one."""
        with self._change:
            room = self.watchers < _WATCHERS
            self.watchers += room
            return room

    def leave(self) -> None:
        """A watcher is gone."""
        with self._change:
            self.watchers -= 1


class _Handler(BaseHTTPRequestHandler):
    preview: Preview
    secret: str
    timeout = _PATIENCE
    server_version = "masklet"
    sys_version = ""

    def do_GET(self) -> None:
        """The page and its parts, for this machine's own pages only."""
        if (refusal := self._refusal()) is not None:
            self._answer(refusal, "text/plain", refusal.phrase.encode())
            return
        start, name = self.path[: len(self.secret) + 2], self.path[len(self.secret) + 2 :]
        texts = {
            "": ("text/html", _PAGE),
            "preview.css": ("text/css", _STYLE),
            "preview.js": ("text/javascript", _SCRIPT),
        }
        if not secrets.compare_digest(start, f"/{self.secret}/"):
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"Not Found")
        elif name in texts:
            self._answer(HTTPStatus.OK, f"{texts[name][0]}; charset=utf-8", texts[name][1].encode())
        elif name == "status":
            self._answer(HTTPStatus.OK, "application/json", json.dumps(self.preview.status).encode())
        elif name == "stream":
            self._stream()
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"Not Found")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: the terminal belongs to the command."""

    def _refusal(self) -> HTTPStatus | None:
        """Why a request is not answered: it came under another name, or from another site's page."""
        names = {f"{name}:{self.preview.port}" for name in (_ADDRESS, "localhost")}
        if self.headers.get_all("Host", []) not in [[name] for name in names]:
            return HTTPStatus.MISDIRECTED_REQUEST
        origin, site = self.headers.get("Origin"), self.headers.get("Sec-Fetch-Site")
        if origin is not None and origin not in {f"http://{name}" for name in names}:
            return HTTPStatus.FORBIDDEN
        return None if site in (None, "same-origin", "none") else HTTPStatus.FORBIDDEN

    def _stream(self) -> None:
        """Pictures, one after the other, as long as they are taken."""
        if not self.preview.enter():
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"Too many watchers")
            return
        try:
            self._head(HTTPStatus.OK, f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
            number = 0
            while (found := self.preview.after(number)) is not None:
                number, jpeg = found
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
        except OSError:  # the watcher is gone, or too slow
            pass
        finally:
            self.preview.leave()
            self.close_connection = True

    def _answer(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self._head(status, kind, len(content))
        self.wfile.write(content)

    def _head(self, status: HTTPStatus, kind: str, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
