"""HTTP connections of a server, with problem responses and limits that uvicorn does not have."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from masklet.http.problems import problem
from masklet.http.websocket_protocol import WebSocketProtocol

MAX_CONNECTIONS = 256
_REQUEST_TIMEOUT_S = 10.0
_MAX_STALLS = 6  # request timeouts in which a client reads nothing of a response


class HttpProtocol(H11Protocol):
    """A connection that is closed if there are too many, if a request is late, or if the client does not read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept or close a new connection."""
        self._drains = 0  # how often the client has read what waited
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._watch(None)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        previous = self.cycle
        super().on_response_complete()
        self._deadline.cancel()
        self._watch(previous)

    def resume_writing(self) -> None:
        """Note that the client reads."""
        self._drains += 1
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if hasattr(self, "_deadline"):
            self._deadline.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Pass the connection to the WebSocket. Refuse a request that is not a complete handshake, which would wait."""
        super().handle_websocket_upgrade(event)
        protocol = self.transport.get_protocol()
        if isinstance(protocol, WebSocketProtocol) and not protocol.handshake_initiated:
            protocol.refuse_request()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP with a problem response. If a response has begun, only close the connection."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        response = problem(400, "bad-request", "the request is not HTTP")
        headers = [*response.raw_headers, (b"connection", b"close")]
        for part in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(response.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(part) or b"")
        self.transport.close()

    def _watch(self, previous: object, last: tuple[int, int] | None = None, stalls: int = 0) -> None:
        """Look in a while whether a request has followed the previous one, and whether the client reads."""
        self._deadline = self.loop.call_later(_REQUEST_TIMEOUT_S, self._close_if_idle, previous, last, stalls)

    def _close_if_idle(self, previous: object, last: tuple[int, int] | None, stalls: int) -> None:
        """Close the connection if there is neither a request nor a response that the client reads.

        Args:
            previous: The cycle of the previous request.
            last: How often the client had read, and the bytes that waited for it, at the last look.
            stalls: Number of looks since it has read.
        """
        if self.transport.get_protocol() is not self:  # it is a WebSocket
            return
        waiting = self.transport.get_write_buffer_size()
        stalls = stalls + 1 if waiting and last == (self._drains, waiting) else 0
        if stalls >= _MAX_STALLS or (not waiting and self.cycle is previous):
            self.transport.abort()
        else:
            self._watch(previous, (self._drains, waiting), stalls)
