"""An ASGI application on uvicorn, in a thread, with the connections and limits of this package."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Literal

import uvicorn
from starlette.types import ASGIApp

from masklet.errors import ResourceError
from masklet.http.http_protocol import HttpProtocol
from masklet.http.websocket_protocol import WebSocketProtocol

_START_TIMEOUT_S = 30.0


class UvicornServer:
    """A server that runs in a thread from `start` to `close`.

    Args:
        host: The address to listen on.
        port: The port; 0 for any free one.

    Attributes:
        port: The port.

    Raises:
        ResourceError: `port-taken`. The server cannot listen there.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host = host.strip("[]")
        self._socket = _listen(self._host, port)
        self.port: int = self._socket.getsockname()[1]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_started = threading.Event()

    @property
    def address(self) -> str:
        """The URL of `/`, without a secret."""
        return f"http://{_name_of(self._host)}:{self.port}/"

    def start(
        self,
        app: ASGIApp,
        *,
        name: str,
        max_message_bytes: int,
        grace_s: float,
        lifespan: Literal["on", "off"] = "off",
        background: Callable[[], Coroutine[Any, Any, object]] | None = None,
    ) -> None:
        """Serve an application.

        Args:
            app: The application.
            name: Name of the thread.
            max_message_bytes: Largest message of a WebSocket.
            grace_s: Seconds for responses in progress when the server ends.
            lifespan: Whether the application handles the start and the end.
            background: Runs on the loop while the server runs.
        """
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="critical",  # refusals are no errors, and bugs are logged in problems.py
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan=lifespan,
            loop="asyncio",
            http=HttpProtocol,
            ws=WebSocketProtocol,
            ws_max_size=max_message_bytes,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=grace_s,  # type: ignore[arg-type]
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, args=(background,), daemon=True, name=name)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, object], timeout_s: float) -> None:
        """Run a coroutine on the server's loop, and wait for its end, at most for some seconds."""
        if not self._has_started.wait(_START_TIMEOUT_S) or self._loop is None or not self._thread.is_alive():
            work.close()
            return
        with suppress(TimeoutError, RuntimeError):  # RuntimeError: the loop has ended meanwhile
            asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def close(self, timeout_s: float) -> None:
        """End the server: finish responses in progress, and wait for the thread, at most for some seconds."""
        self._server.should_exit = True
        self._thread.join(timeout_s)

    def _run(self, background: Callable[[], Coroutine[Any, Any, object]] | None) -> None:
        asyncio.run(self._serve(background))

    async def _serve(self, background: Callable[[], Coroutine[Any, Any, object]] | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._has_started.set()
        task = asyncio.create_task(background()) if background else None
        await self._server.serve([self._socket])
        if task is not None:
            task.cancel()


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
        message = f"the server cannot listen at {host}:{port} ({cause.strerror}); choose another --port"
        raise ResourceError("port-taken", message) from cause
    return listener


def _name_of(host: str) -> str:
    """Return the name under which this machine reaches a server that listens on an address."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
