"""Server of a page with only the studio's drawing area. Frames are flat colors with a grid."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import cv2
import numpy as np

WEB = Path(__file__).resolve().parents[2] / "src/masklet/studio/web"
_SCRIPT = Path(__file__).resolve().parents[1] / "studio/web/drawing_page.js"
_PAGE = (
    b'<!doctype html><link rel="stylesheet" href="/page.css"><div id="view"></div>'
    b'<script type="module" src="/page.js"></script>'
)
_STYLE = b"html, body { height: 100%; margin: 0; background: #202020 } #view { position: absolute; inset: 0 }"
_SIZES = {1: (300, 400), 2: (6000, 8000), 3: (600, 400)}  # of the media


class DrawingServer(ThreadingHTTPServer):
    """Attributes: requests: Paths of the frames that were requested."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DrawingServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path.startswith("/frames/"):
            self.server.requests.append(self.path)
            medium, frame = (int(part) for part in parts.path.split("/")[2:])
            self._send("image/png", _encode_frame(medium, frame, dict(parse_qsl(parts.query))))
        elif parts.path.startswith("/static/"):
            self._send("text/javascript", (WEB / parts.path.removeprefix("/static/")).read_bytes())
        elif parts.path == "/page.js":
            self._send("text/javascript", _SCRIPT.read_bytes())
        else:
            self._send(*(("text/css", _STYLE) if parts.path == "/page.css" else ("text/html", _PAGE)))

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'self'")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


def _encode_frame(medium: int, frame: int, options: dict[str, str]) -> bytes:
    """Encode frame `frame`, gray 100 + frame, as PNG. Regions are 100 brighter."""
    height, width = _SIZES[medium]
    x0, y0, x1, y1 = (int(part) for part in options.get("region", f"0,0,{width},{height}").split(","))
    reduced = min(1.0, int(options.get("width", width)) / (x1 - x0))
    size = round((y1 - y0) * reduced), round((x1 - x0) * reduced)
    value = 100 + frame + (100 if "region" in options else 0)
    return bytes(cv2.imencode(".png", np.full((*size, 3), value, np.uint8))[1])


@contextmanager
def serve_drawing_area() -> Iterator[DrawingServer]:
    """Run a server."""
    with DrawingServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
