"""ASGI application of `masklet serve`: the API, the protocols of tools, health, metrics, access and errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

import masklet
from masklet.errors import MaskletError
from masklet.http.problems import Problem
from masklet.http.request_body import bound
from masklet.http.security import Guard, TokenAccess
from masklet.serve.api import images, socket, videos
from masklet.serve.limits import Limits
from masklet.serve.metrics import CONTENT_TYPE, Measure, Metrics
from masklet.serve.protocols import ToolProtocol
from masklet.serve.service import Service
from masklet.serve.validation import describe_errors

OPEN_PATHS = ("/health/live", "/health/ready")
"""Paths that are served without a token, since probes of orchestrators send none."""

_UPLOADS = ("/v1/videos", "/v1/videos/frames")
_DESCRIPTION = """Masks of images and videos from points, boxes and masks, and without prompts.

Coordinates are pixels (x, y) from the top-left corner of the image. Errors are `application/problem+json` with a stable
`code`. `/v1/ws` is a WebSocket with the same operations; docs/serving.md describes its messages."""
_TAGS = [
    {"name": "images", "description": "Images that are sent once and prompted any number of times."},
    {"name": "videos", "description": "Video sessions: prompts on any frame, and tracking, frame by frame."},
    {"name": "server", "description": "Health and metrics."},
]

Refuse = Callable[[str, Problem], Response]


def build_app(
    service: Service,
    access: TokenAccess,
    metrics: Metrics,
    protocols: Mapping[str, ToolProtocol],
    sockets: set[socket.ApiSocket],
) -> ASGIApp:
    """Return the application. Its start loads the model, and its end waits for the requests that run.

    Args:
        service: The service.
        access: Who is served.
        metrics: The metrics.
        protocols: Protocols of tools by name.
        sockets: The open WebSockets, which the application adds and removes.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.stop()

    app = _Api(
        title="masklet",
        version=masklet.__version__,
        summary="Promptable segmentation of images and video.",
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        lifespan=lifespan,
        docs_url=None,  # their scripts come from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service, app.state.sockets = service, sockets
    _add_server_routes(app, service, metrics)
    for api in (images.router, videos.router, socket.router):
        app.include_router(api)
    for protocol in protocols.values():
        app.router.routes.append(Mount(protocol.PREFIX, routes=protocol.routes(service)))
    app.router.add_websocket_route("/{path:path}", _refuse_socket)
    refuse = _make_refuse(protocols)
    _add_error_handlers(app, refuse)
    limited = _LimitBodies(app, service.limits, tuple(protocol.PREFIX for protocol in protocols.values()), refuse)
    guarded = Guard(limited, access, lambda scope, refusal: refuse(scope["path"], refusal))
    return Measure(_RootPaths(guarded, protocols), metrics)


class _Api(FastAPI):
    """FastAPI with problems as `application/problem+json` only."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        document = super().openapi()
        operations = (one for methods in document["paths"].values() for one in methods.values())
        for response in (response for one in operations for response in one["responses"].values()):
            if "application/problem+json" in response.get("content", {}):
                response["content"].pop("application/json", None)
        return document


def _add_server_routes(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.get("/health/live", tags=["server"], summary="Whether the server runs")
    async def is_live() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(
        "/health/ready",
        tags=["server"],
        summary="Whether requests are served",
        responses={503: {"description": "The model is being loaded or cannot be loaded, or the server stops."}},
    )
    async def is_ready() -> JSONResponse:
        status = "ok" if service.is_ready else "stopping" if service.thread.is_stopping else "loading"
        return JSONResponse({"status": status}, 200 if service.is_ready else 503)

    @app.get("/metrics", tags=["server"], summary="Metrics for Prometheus", response_class=Response)
    async def show_metrics() -> Response:
        return Response(metrics.write(), media_type=CONTENT_TYPE)


def _make_refuse(protocols: Mapping[str, ToolProtocol]) -> Refuse:
    """Return a function that writes a problem in the form of the protocol at a path."""

    def refuse(path: str, problem: Problem) -> Response:
        for protocol in protocols.values():
            if path == protocol.PREFIX or path.startswith(f"{protocol.PREFIX}/"):
                response = protocol.make_error_response(problem)
                response.headers.update(problem.headers)
                return response
        return problem.to_response()

    return refuse


def _add_error_handlers(app: FastAPI, refuse: Refuse) -> None:
    async def report(request: Request, error: Exception) -> Response:
        return refuse(request.scope["path"], Problem.of(error))

    async def report_fields(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return refuse(request.scope["path"], _describe_invalid(request, error))

    async def forget(request: Request, error: Exception) -> Response:
        """Return a response that nobody reads, because the client has disconnected."""
        return Problem(400, "bad-request", "the client has disconnected").to_response()

    app.add_exception_handler(StarletteHTTPException, report)
    app.add_exception_handler(MaskletError, report)
    app.add_exception_handler(RequestValidationError, report_fields)
    app.add_exception_handler(ClientDisconnect, forget)
    app.add_exception_handler(Exception, report)


def _describe_invalid(request: Request, error: RequestValidationError) -> Problem:
    """Return the problem of a request whose fields, JSON or content type are invalid."""
    errors = error.errors()
    if any(one["type"] == "json_invalid" for one in errors):
        return Problem(400, "bad-request", f"the body must be JSON: {errors[0].get('ctx', {}).get('error', '')}"[:500])
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = kind == "application/json" or kind.endswith("+json")
    if not is_json and any(one["loc"] == ("body",) for one in errors):
        return Problem(
            415, "unsupported-media-type", f"the body must be application/json, got {kind[:100] or 'no type'}"
        )
    return describe_errors(errors, ("body", "query", "path"))


async def _refuse_socket(websocket: WebSocket) -> None:
    await websocket.send_denial_response(Problem(404, "not-found").to_response())


class _RootPaths:
    """Middleware for clients that cannot be given a prefix: serves `ROOT_PATHS` of protocols below their prefix."""

    def __init__(self, app: ASGIApp, protocols: Mapping[str, ToolProtocol]) -> None:
        self._app = app
        self._prefixes = {
            path: protocol.PREFIX for protocol in protocols.values() for path in getattr(protocol, "ROOT_PATHS", ())
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "http":
            path = scope["path"]
            for root, prefix in self._prefixes.items():
                if path == root or path.startswith(f"{root}/"):
                    scope = {**scope, "path": f"{prefix}{path}"}
        await self._app(scope, receive, send)


class _LimitBodies:
    """Middleware that refuses bodies that are too large or too slow, and tells the limits to the routes."""

    def __init__(self, app: ASGIApp, limits: Limits, prefixes: tuple[str, ...], refuse: Refuse) -> None:
        self._app, self._limits, self._prefixes, self._refuse = app, limits, prefixes, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse a request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path, limits = scope["path"], self._limits
        takes_uploads = path in _UPLOADS or path.startswith(self._prefixes) if self._prefixes else path in _UPLOADS
        limit = max(limits.body_bytes, limits.upload_bytes) if takes_uploads else limits.body_bytes
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not length.isdigit() or int(length) > limit:
            detail = f"the body has {length[:20].decode('ascii', 'replace')} bytes, the limit is {limit}"
            refusal = Problem(413, "body-too-large", detail, headers={"connection": "close"})
            return await self._refuse(path, refusal)(scope, receive, send)
        scope["masklet.limits"] = limits
        return await self._app(scope, bound(receive, limit, HTTPException), send)
