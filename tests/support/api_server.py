"""`masklet serve` with a model whose masks are known: in this process, or in one of its own, which can be measured.

`python -m support.api_server FOLDER [FAULT]` serves until its stdin ends. Its first line is {"port": …}.
"""

from __future__ import annotations

import http.client
import io
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from websockets.sync.client import ClientConnection, connect

from masklet.http.security import TokenAccess
from masklet.segmenter import Segmenter
from masklet.serve.app import OPEN_PATHS
from masklet.serve.limits import Limits
from masklet.serve.protocols import PROTOCOLS
from masklet.serve.server import ApiServer
from masklet.serve.sources import Sources
from support.gray_world import GrayWorld, draw_boxes
from support.measured_process import MeasuredProcess, note_connections
from support.studio import Response

TOKEN = "0123456789abcdef-token"
BOX, OTHER_BOX = (10, 8, 30, 20), (35, 5, 50, 35)  # left, top, right, bottom
IMAGE = draw_boxes({100: BOX, 200: OTHER_BOX})
_FAULTS = ("", "memory", "descriptors", "threads", "files", "waits")


def encode_png(image: NDArray[np.uint8] = IMAGE) -> bytes:
    """Return an image (H, W, 3) as a PNG file."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def fill(box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Return the mask of a box."""
    mask = np.zeros(IMAGE.shape[:2], bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


class ApiClient:
    """A program that uses the API.

    Args:
        port: Port of the server.
        token: The token; empty to send none.
    """

    def __init__(self, port: int, token: str = TOKEN) -> None:
        self.port = port
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Response:
        """Send a request. Underscores in the names of headers stand for hyphens."""
        names = {**self._headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, names)
            response = connection.getresponse()
            found = {name.lower(): text for name, text in response.getheaders()}
            return Response(response.status, found, response.read())

    def get(self, path: str, **headers: str) -> Response:
        """Send a GET request."""
        return self.request("GET", path, **headers)

    def post(self, path: str, record: Any, **headers: str) -> Response:
        """Send JSON."""
        return self.request("POST", path, json.dumps(record).encode(), Content_Type="application/json", **headers)

    def ask(self, path: str, record: Any) -> Any:
        """Send JSON, and return that of the response, which must be a success."""
        response = self.post(path, record)
        assert response.status < 300, response
        return json.loads(response.body)

    def send_image(self, content: bytes) -> str:
        """Send an image, and return its key."""
        response = self.request("POST", "/v1/images", content, Content_Type="image/png")
        assert response.status == 201, response
        return str(json.loads(response.body)["image"])

    def open_frames(self, frames: list[bytes]) -> str:
        """Create a session from images, and return its id."""
        part = b'--x\r\nContent-Disposition: form-data; name="frames"; filename="a.png"\r\n\r\n'
        body = b"".join(part + frame + b"\r\n" for frame in frames) + b"--x--\r\n"
        response = self.request("POST", "/v1/videos/frames", body, Content_Type="multipart/form-data; boundary=x")
        assert response.status == 201, response
        return str(json.loads(response.body)["session"])

    def connect(self, path: str = "/v1/ws", **options: Any) -> AbstractContextManager[ClientConnection]:
        """Open the WebSocket for a block."""
        address = f"ws://127.0.0.1:{self.port}{path}"
        return connect(address, additional_headers=self._headers, compression=None, proxy=None, **options)


@contextmanager
def serve_api(
    load: Callable[[], Segmenter] = lambda: Segmenter(GrayWorld()), *, token: str | None = TOKEN, **options: Any
) -> Iterator[tuple[ApiServer, ApiClient]]:
    """Serve the API in this process for a block, with a client."""
    server = ApiServer(load, TokenAccess((), token, OPEN_PATHS), **options)
    try:
        server.wait_until_ready()
        yield server, ApiClient(server.port, token or "")
    finally:
        server.close()


class ApiProcess(MeasuredProcess):
    """The server in a process.

    Args:
        folder: Folder that clients may name files of, for its temporary files, and for what it writes to stderr.
        fault: What it leaks with each session; the last fault waits for slow clients.

    Attributes:
        port: Its port.
        client: A client with the token.
    """

    def __init__(self, folder: Path, fault: str = "") -> None:
        assert fault in _FAULTS
        (folder / "root").mkdir(exist_ok=True)
        super().__init__("support.api_server", folder, fault)
        self.port: int = self.record["port"]
        self.client = ApiClient(self.port)


def _serve(folder: Path, fault: str) -> None:
    import warnings

    from masklet.errors import MaskletWarning

    logging.basicConfig(level=logging.WARNING)
    warnings.simplefilter("ignore", MaskletWarning)
    sys.addaudithook(note_connections)
    _leak(fault)
    limits = Limits(body_bytes=4 << 20, upload_bytes=16 << 20, pixels=1 << 20, image_bytes=1 << 20, waiting=32)
    server = ApiServer(
        lambda: Segmenter(GrayWorld()),
        TokenAccess((), TOKEN, OPEN_PATHS),
        limits=limits,
        sources=Sources(folder / "root"),
        protocols=PROTOCOLS,
    )
    server.wait_until_ready()
    sys.stdout.write(json.dumps({"port": server.port}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.close()


def _leak(fault: str) -> None:
    """Let every session leak something, or every frame wait for the slowest client."""
    import tempfile
    import threading

    from masklet.serve.api.socket import ApiSocket
    from masklet.serve.sessions import Sessions

    leaked: list[object] = []
    leaks: dict[str, Callable[[], object]] = {
        "memory": lambda: leaked.append(os.urandom(8 << 20)),
        "descriptors": lambda: leaked.append(os.open(os.devnull, os.O_RDONLY)),
        "threads": lambda: threading.Thread(target=threading.Event().wait, daemon=True).start(),
        "files": lambda: os.close(tempfile.mkstemp()[0]),
    }
    if fault == "waits":
        send = ApiSocket._send

        async def send_and_wait(self: ApiSocket, record: Any) -> None:
            if self._sending.locked() and len(self._running) > 32:
                time.sleep(0.2)  # the loop of all clients
            await send(self, record)

        ApiSocket._send = send_and_wait  # type: ignore[method-assign]
    elif fault:
        create = Sessions.create

        async def create_and_leak(self: Sessions, *arguments: Any, **options: Any) -> Any:
            leaks[fault]()
            return await create(self, *arguments, **options)

        Sessions.create = create_and_leak  # type: ignore[method-assign]


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2])
