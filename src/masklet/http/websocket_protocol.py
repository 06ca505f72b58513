"""WebSocket connections of a server, with problem responses and limits that uvicorn does not have."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.http11 import Response
from websockets.server import ServerProtocol

from masklet.http.problems import problem

SERVER_ENDS, TRY_LATER = 1012, 1013  # close codes
_CODES = {404: "not-found", 405: "method-not-allowed", 500: "internal"}


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A connection that refuses handshakes with problem responses, and does not wait for clients that do not read."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn = _Handshake(max_size=self.config.ws_max_size, logger=self.logger)

    async def run_asgi(self) -> None:
        """Serve the connection. It is cut off if the client does not read the last messages in time."""
        await super().run_asgi()
        self.loop.call_later(self.close_timeout, self.transport.abort)

    def send_receive_event_to_app(self) -> None:
        """Pass a message on. One that is no UTF-8 closes the connection, which its client may have closed already."""
        try:
            super().send_receive_event_to_app()
        except InvalidState:
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def keepalive_timeout(self) -> None:
        """Close the connection to a client that does not respond to a ping, with 1013 in place of 1011."""
        self.pong_timer, self.pending_ping_payload = None, None
        if self.close_sent or self.transport.is_closing():
            return
        self.conn.fail(TRY_LATER, "no response to a ping")
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()
        self.loop.call_later(self.close_timeout, self.transport.abort)

    def refuse_request(self) -> None:
        """Refuse a request that is not a handshake at all, and close the connection."""
        response = problem(400, "bad-request", "the handshake is malformed or too long, or it has a body")
        self.transport.write(_encode_response(400, "Bad Request", response.raw_headers, response.body))
        self.close_sent = self.handshake_complete = True
        self.transport.close()


class _Handshake(ServerProtocol):
    """A protocol whose refusals are problem responses."""

    def reject(self, status: Any, text: str) -> Response:
        """Return the response that refuses the handshake."""
        response = super().reject(status, text)
        body = problem(int(status), _CODES.get(int(status), "bad-request"), text.strip())
        for name, value in body.headers.items():
            if name in response.headers:
                del response.headers[name]
            response.headers[name] = value
        response.body = bytes(body.body)
        return response


def _encode_response(status: int, reason: str, headers: list[tuple[bytes, bytes]], body: bytes | memoryview) -> bytes:
    """Return the bytes of a response after which the connection is closed."""
    lines = [f"HTTP/1.1 {status} {reason}".encode(), *(b": ".join(pair) for pair in headers), b"connection: close"]
    return b"\r\n".join([*lines, b"", bytes(body)])
