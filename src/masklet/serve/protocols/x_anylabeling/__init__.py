"""Protocol of X-AnyLabeling-Server, which the desktop program X-AnyLabeling uses as a remote server.

Three models are listed. "masklet" takes points and rectangles, "masklet-everything" needs no prompt, and
"masklet-video" tracks what is clicked on one image through the images of the folder.
"""

from __future__ import annotations

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from masklet.http.problems import Problem
from masklet.serve.protocols.x_anylabeling import image_routes, video_routes
from masklet.serve.service import Service

PREFIX = "/x-anylabeling"
_CODES = {"unauthorized": "UNAUTHORIZED", "unknown-model": "MODEL_NOT_FOUND", "session-gone": "SESSION_NOT_FOUND"}
_IMAGE_CODES = frozenset({"bad-image", "unsupported-format", "input-empty", "too-many-pixels", "float-needs-range"})


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes of the protocol."""
    return [*image_routes.routes(service), *video_routes.routes(service)]


def make_error_response(problem: Problem) -> Response:
    """Return an error as the server of X-AnyLabeling does: status 200, except where the request may be repeated."""
    if problem.status == 503:
        return JSONResponse({"detail": problem.detail}, 503, problem.headers)
    is_of_image = problem.code.startswith("image-") or problem.code in _IMAGE_CODES
    code = _CODES.get(problem.code, "INVALID_IMAGE" if is_of_image else "INFERENCE_ERROR")
    error = {"code": code, "message": problem.detail or problem.code, "details": {"code": problem.code}}
    return JSONResponse({"success": False, "error": error}, headers=problem.headers)
