"""Server of the studio: uvicorn in a thread, the private file for the browser, and the end of both."""

from __future__ import annotations

import asyncio
import logging
import time
import webbrowser

from masklet.errors import ResourceError
from masklet.http.security import CODE_LIFETIME_S, Access
from masklet.http.uvicorn_server import UvicornServer
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
        self._server = UvicornServer(host, port)
        self.port = self._server.port
        self.entry = EntryFile()
        self.entry.write(f"{self.address}enter?code={access.issue_code()}")
        access.on_redeem = self._renew_entry
        self._server.start(
            build_app(site, access),
            name="masklet-studio",
            max_message_bytes=MAX_BINARY_BYTES,
            grace_s=_GRACE_S,
            background=self._keep_entry_valid,
        )

    @property
    def address(self) -> str:
        """The URL of the page, without a secret."""
        return self._server.address

    def close(self) -> None:
        """Send `closing` to the clients, finish responses in progress, end the server and remove the private file."""
        every = (self._site.clients, *(camera.clients for camera in self._site.cameras))
        for clients in every:
            clients.close()
        deadline = time.monotonic() + _GRACE_S
        while any(len(clients) for clients in every) and time.monotonic() < deadline:
            time.sleep(0.005)  # the server would close the connections before `closing` is sent
        self._server.close(_JOIN_TIMEOUT_S)
        self.entry.close()

    def open_browser(self) -> bool:
        """Open the page in the user's browser, and return whether there is one.

        The browser's arguments contain the private file only.
        """
        return webbrowser.open(self.entry.path.as_uri())

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
