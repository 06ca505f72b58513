"""Server of `masklet serve`: its application on uvicorn, in a thread, and the graceful end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from masklet.http.security import TokenAccess
from masklet.http.uvicorn_server import UvicornServer
from masklet.segmenter import Segmenter
from masklet.serve.api.socket import ApiSocket
from masklet.serve.app import OPEN_PATHS, build_app
from masklet.serve.limits import Limits
from masklet.serve.metrics import Metrics
from masklet.serve.protocols import load_protocol
from masklet.serve.service import Service
from masklet.serve.sources import Sources

_GRACE_S = 2  # for responses that are computed, and are still being sent
_JOIN_TIMEOUT_S = 15.0  # for the step of the model that runs


class ApiServer:
    """A server that runs in a thread until it is closed.

    Args:
        load: Loads the model, in a thread of its own.
        access: Who is served.
        host: The address to listen on.
        port: The port; 0 for any free one.
        limits: Limits of requests and memory.
        sources: Paths and addresses that clients may name.
        protocols: Names of the protocols of tools.

    Attributes:
        service: What it computes.
        port: The port.
        prefixes: The paths of the protocols by name.

    Raises:
        ResourceError: `port-taken`. The server cannot listen there.
        SettingsError: A protocol is unknown.
    """

    def __init__(
        self,
        load: Callable[[], Segmenter],
        access: TokenAccess | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
        sources: Sources | None = None,
        protocols: Sequence[str] = (),
    ) -> None:
        modules = {name: load_protocol(name) for name in protocols}
        self.prefixes = {name: module.PREFIX for name, module in modules.items()}
        self._server = UvicornServer(host, port)
        self.port = self._server.port
        metrics = Metrics()
        self.service = Service(load, limits, sources, metrics.count_batch)
        metrics.observe(self.service)
        self._sockets: set[ApiSocket] = set()
        self._server.start(
            build_app(self.service, access or TokenAccess(open_paths=OPEN_PATHS), metrics, modules, self._sockets),
            name="masklet-serve",
            max_message_bytes=self.service.limits.body_bytes,
            grace_s=_GRACE_S,
            lifespan="on",
        )

    @property
    def address(self) -> str:
        """The URL of `/`."""
        return self._server.address

    def wait_until_ready(self) -> None:
        """Wait until the model is loaded. Raises `MaskletError` if it cannot be."""
        self.service.thread.wait_until_loaded()

    def close(self) -> None:
        """Refuse new requests, finish those that run up to the limit `drain_s`, and end the server."""
        self._server.call(self._drain(), self.service.limits.drain_s + _GRACE_S)
        self._server.close(_GRACE_S + _JOIN_TIMEOUT_S)

    async def _drain(self) -> None:
        await self.service.thread.drain(self.service.limits.drain_s)
        for connection in [*self._sockets]:
            await connection.close()
