"""HTTP connections of the studio, with limits that uvicorn does not have."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 256
_REQUEST_TIMEOUT_S = 10.0


class HttpProtocol(H11Protocol):
    """A connection that is closed if there are too many, or if a request is not complete in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept or close a new connection."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._deadline = self.loop.call_later(_REQUEST_TIMEOUT_S, self._close_if_silent, None)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        previous = self.cycle
        super().on_response_complete()
        self._deadline.cancel()
        self._deadline = self.loop.call_later(_REQUEST_TIMEOUT_S, self._close_if_silent, previous)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if hasattr(self, "_deadline"):
            self._deadline.cancel()
        super().connection_lost(exc)

    def _close_if_silent(self, previous: object) -> None:
        """Close the connection unless a request has followed the previous one."""
        is_socket = self.transport.get_protocol() is not self
        if self.cycle is previous and not is_socket:
            self.transport.abort()
