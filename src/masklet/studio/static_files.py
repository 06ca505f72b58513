"""Static files of the studio's page: scripts, styles and icons from the package's folder `web`."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from masklet.http.problems import problem

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
}
_FOLDER = Path(__file__).with_name("web")
_NAME = re.compile(r"(?:[a-z0-9][a-z0-9_-]*/)*[a-z0-9][a-z0-9_.-]*\.([a-z]+)")


def serve_file(request: Request, name: str) -> Response:
    """Return a file of the folder `web`, or 404. Browsers ask each time whether it has changed."""
    match = _NAME.fullmatch(name)
    file = _FOLDER / name if match and match[1] in _TYPES and ".." not in name else None
    if match is None or file is None or not file.is_file():
        return problem(404, "not-found")
    content = file.read_bytes()
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"', "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=_TYPES[match[1]])
