"""HTTP resources of the studio, as `docs/studio-protocol.md` lists them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from masklet.errors import MaskletError
from masklet.http.problems import problem, problem_of
from masklet.http.request_body import read_body
from masklet.http.security import Access, Guard
from masklet.studio.connection import Clients, Commands, FrameRequest
from masklet.studio.live import LiveCommands
from masklet.studio.static_files import serve_file
from masklet.studio.websocket import Socket

_MAX_FORM_BYTES, _FORM_TIMEOUT_S = 4096, 10.0
MAX_IMPORT_BYTES = 64 << 20
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_REGION = re.compile(r"[0-9]{1,6}(?:,[0-9]{1,6}){3}", re.ASCII)
_EXPORT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)

_ENTERED = """<!doctype html>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={start}">
<link rel="icon" href="data:,">
<title>masklet</title>
<p><a href="{start}">Open masklet</a></p>
"""
_FORM = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>masklet</title>
<form method="post" action="/enter">
<p><label>Token <input name="token" type="password" autocomplete="current-password" required autofocus></label>
<button>Open</button></p>
</form>
</html>
"""


class Site(NamedTuple):
    """What a server serves.

    Attributes:
        commands: What handles commands, frames, exports and imports.
        clients: The connected clients; the server adds and removes them.
        page: The file of the folder `web` that is served at `/`.
        cameras: The commands of the cameras, whose pages are `/live/1`, …
        start: The path that a browser sees first.
    """

    commands: Commands
    clients: Clients
    page: str = "index.html"
    cameras: Sequence[LiveCommands] = ()
    start: str = "/"


def build_app(site: Site, access: Access) -> ASGIApp:
    """Return the ASGI application of a site for those who have access."""
    resources = _Resources(site, access)
    routes = [
        Route("/", resources.show_page),
        Route("/enter", resources.enter, methods=["GET", "POST"]),
        Route("/static/{name:path}", resources.serve_static),
        Route("/frames/{medium}/{frame}", resources.serve_frame),
        Route("/exports/{name}.zip", resources.serve_export),
        Route("/imports/{medium}", resources.receive_import, methods=["POST"]),
        WebSocketRoute("/ws", resources.serve_socket),
        Route("/live/{camera}", resources.show_camera),
        WebSocketRoute("/live/{camera}/ws", resources.serve_camera),
        WebSocketRoute("/{path:path}", resources.refuse_socket),
    ]
    handlers = {HTTPException: _report, MaskletError: _report, ClientDisconnect: _forget, Exception: _report}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return Guard(app, access)


class _Resources:
    def __init__(self, site: Site, access: Access) -> None:
        self._site, self._commands, self._access = site, site.commands, access

    async def show_page(self, request: Request) -> Response:
        """Return the page."""
        return serve_file(request, self._site.page)

    async def serve_static(self, request: Request) -> Response:
        """Return a script or style of the page."""
        return serve_file(request, request.path_params["name"])

    async def enter(self, request: Request) -> Response:
        """Exchange a one-time code or the token for the cookie. Without either, show the form for the token."""
        if request.method == "POST":
            is_accepted = self._access.accepts_token(await _read_token(request))
        elif "code" in request.query_params:
            is_accepted = self._access.redeem_code(request.query_params["code"])
        elif self._access.token is not None:
            # with "no-referrer" the form would be sent with "Origin: null"
            return HTMLResponse(_FORM, headers={"Referrer-Policy": "same-origin", "Cache-Control": "no-store"})
        else:
            is_accepted = False
        if not is_accepted:
            return problem(401, "unauthorized", "the code or token is wrong, or the code was used or is too old")
        # a redirect would belong to the navigation from the private file, on which no SameSite=Strict cookie is sent
        cookie = self._access.make_cookie(request.headers)
        page = _ENTERED.format(start=self._site.start)
        return HTMLResponse(page, headers={"Set-Cookie": cookie, "Cache-Control": "no-store"})

    async def serve_frame(self, request: Request) -> Response:
        """Return a frame. Its ETag lets browsers keep it for the session."""
        wanted = _parse_frame(request)
        etag = self._access.make_etag(str(wanted))
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return await _respond(partial(self._commands.frame, wanted), headers)

    async def serve_export(self, request: Request) -> Response:
        """Return an exported folder as a zip archive."""
        name = request.path_params["name"]
        if not _EXPORT.fullmatch(name):
            return problem(404, "not-found")
        headers = {"Content-Disposition": f'attachment; filename="{name}.zip"', "Cache-Control": "no-store"}
        return await _respond(partial(self._commands.export, name), headers)

    async def receive_import(self, request: Request) -> Response:
        """Read an annotation file from the body."""
        medium = _parse_number(request.path_params["medium"])
        name = request.query_params.get("name", "")
        if not 0 < len(name) <= 255 or "/" in name or "\\" in name or not name.isprintable():
            raise MaskletError("bad-request", f"the name of the file must be without folders, got {name[:300]!r}")
        content = await read_body(request, MAX_IMPORT_BYTES)
        reply = await run_in_threadpool(self._commands.import_annotations, medium, name, content)
        return JSONResponse(reply, headers={"Cache-Control": "no-store"})

    async def serve_socket(self, socket: WebSocket) -> None:
        """Serve a client."""
        await Socket(socket, self._commands, self._site.clients).run()

    async def show_camera(self, request: Request) -> Response:
        """Return the page of a camera."""
        if self._find_camera(request.path_params["camera"]) is None:
            return problem(404, "not-found")
        return serve_file(request, "live.html")

    async def serve_camera(self, socket: WebSocket) -> None:
        """Serve a client of a camera."""
        camera = self._find_camera(socket.path_params["camera"])
        if camera is None:
            await socket.send_denial_response(problem(404, "not-found"))
        else:
            await Socket(socket, camera, camera.clients).run()

    async def refuse_socket(self, socket: WebSocket) -> None:
        """Refuse a WebSocket at a path that has none."""
        await socket.send_denial_response(problem(404, "not-found"))

    def _find_camera(self, number: str) -> LiveCommands | None:
        """Return the commands of a camera, which are numbered from 1."""
        return {str(position): camera for position, camera in enumerate(self._site.cameras, start=1)}.get(number)


async def _respond(make: Callable[[], Any], headers: dict[str, str]) -> Response:
    content = await run_in_threadpool(make)
    if isinstance(content.body, bytes):
        return Response(content.body, headers=headers, media_type=content.media_type)
    return StreamingResponse(content.body, headers=headers, media_type=content.media_type)


async def _read_token(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415)
    try:
        body = await asyncio.wait_for(read_body(request, _MAX_FORM_BYTES), _FORM_TIMEOUT_S)
    except asyncio.TimeoutError:
        raise HTTPException(408) from None
    return parse_qs(body.decode("ascii", "replace"), max_num_fields=4).get("token", [""])[0]


def _parse_frame(request: Request) -> FrameRequest:
    query = request.query_params
    width, region, kind = query.get("width"), query.get("region"), query.get("format", "jpeg")
    if kind not in ("jpeg", "png"):
        raise MaskletError("bad-request", f"the format of a frame is jpeg or png, got {kind[:100]!r}")
    if region is not None and not _REGION.fullmatch(region):
        raise MaskletError("bad-request", f"a region is x0,y0,x1,y1 in pixels, got {region[:100]!r}")
    return FrameRequest(
        _parse_number(request.path_params["medium"]),
        _parse_number(request.path_params["frame"]),
        None if width is None else _parse_number(width),
        None if region is None else tuple(int(one) for one in region.split(",")),  # type: ignore[arg-type]
        kind,  # type: ignore[arg-type]
    )


def _parse_number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise MaskletError("bad-request", f"expected a number from 0 to 999999999, got {text[:100]!r}")
    return int(text)


async def _report(request: Request, error: Exception) -> Response:
    return problem_of(error)


async def _forget(request: Request, error: Exception) -> Response:
    """Return a response that nobody reads, because the client has disconnected."""
    return problem(400, "bad-request", "the client has disconnected")
