"""Server of the studio: uvicorn in a thread, the private file for the browser, and the end of both."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
import webbrowser

import uvicorn

from masklet.errors import ResourceError
from masklet.http.http_protocol import HttpProtocol
from masklet.http.security import CODE_LIFETIME_S, Access
from masklet.http.websocket_protocol import WebSocketProtocol
from masklet.studio.app import Site, build_app
from masklet.studio.entry_file import EntryFile
from masklet.studio.websocket import MAX_BINARY_BYTES

_log = logging.getLogger("masklet.studio")

_GRACE_S = 2  # for messages to the clients, and for responses in progress, when the server ends
_JOIN_TIMEOUT_S = 4.0


class Server:
    """A studio's server, which runs in a thread until it is closed.

    Args:
        site: What is served.
        access: Who may use it.
        host: The address to listen on.
        port: The port; 0 for any free one.

    Attributes:
        port: The port.
        entry: The private file that leads a browser to the page. It is renewed, so that it works at any time.

    Raises:
        ResourceError: `port-taken`. The server cannot listen there.
    """

    def __init__(self, site: Site, access: Access, host: str = "127.0.0.1", port: int = 0) -> None:
        self._site, self._access = site, access
        self._host = host.strip("[]")
        self._socket = _listen(self._host, port)
        self.port: int = self._socket.getsockname()[1]
        self.entry = EntryFile()
        self.entry.write(f"{self.address}enter?code={access.issue_code()}")
        access.on_redeem = self._renew_entry
        config = uvicorn.Config(
            build_app(site, access),
            log_config=None,
            log_level="critical",  # refusals are no errors, and bugs are logged in problems.py
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            loop="asyncio",
            http=HttpProtocol,
            ws=WebSocketProtocol,
            ws_max_size=MAX_BINARY_BYTES,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True, name="masklet-studio")
        self._thread.start()

    @property
    def address(self) -> str:
        """The URL of the page, without a secret."""
        return f"http://{_name_of(self._host)}:{self.port}/"

    def close(self) -> None:
        """Send `closing` to the clients, finish responses in progress, end the server and remove the private file."""
        every = (self._site.clients, *(camera.clients for camera in self._site.cameras))
        for clients in every:
            clients.close()
        deadline = time.monotonic() + _GRACE_S
        while any(len(clients) for clients in every) and time.monotonic() < deadline:
            time.sleep(0.005)  # the server would close the connections before `closing` is sent
        self._server.should_exit = True
        self._thread.join(_JOIN_TIMEOUT_S)
        self.entry.close()

    def open_browser(self) -> bool:
        """Open the page in the user's browser, and return whether there is one.

        The browser's arguments contain the private file only.
        """
        return webbrowser.open(self.entry.path.as_uri())

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        renewing = asyncio.create_task(self._keep_entry_valid())
        await self._server.serve([self._socket])
        renewing.cancel()

    async def _keep_entry_valid(self) -> None:
        while True:
            await asyncio.sleep(CODE_LIFETIME_S / 2)
            self._renew_entry()

    def _renew_entry(self) -> None:
        """Give the private file another code. It may have been deleted, but those who are in must not notice."""
        try:
            self.entry.write(f"{self.address}enter?code={self._access.issue_code()}")
        except ResourceError as error:
            _log.warning("%s", error)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio sets no TCP_NODELAY
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as cause:
        listener.close()
        message = f"the page cannot be served at {host}:{port} ({cause.strerror}); choose another --port"
        raise ResourceError("port-taken", message) from cause
    return listener


def _name_of(host: str) -> str:
    """Return the name under which this machine reaches a server that listens on an address."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
