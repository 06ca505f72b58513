"""What the routes of the API share: documented problems, responses, and how they read requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from fastapi import Request
from starlette.responses import Response

from masklet.errors import MaskletError
from masklet.http.json_text import dump_json
from masklet.prompts import Prompt
from masklet.serve.api.models import ImageRequest, ObjectPrompt, ProblemResponse
from masklet.serve.api.prompts import make_prompts
from masklet.serve.image_store import ServedImage
from masklet.serve.service import Service

_PROBLEMS = {
    400: "The body is not JSON, or the request contradicts itself.",
    401: "The token is missing or wrong.",
    404: "There is no such image, frame, object or file.",
    408: "The body did not arrive in time.",
    409: "The session is tracked already.",
    410: "The video session has ended.",
    413: "The body is too large.",
    415: "The body has another type than expected.",
    422: "A field, a prompt or a file is invalid.",
    503: "Too many requests wait, or the model is being loaded; `Retry-After` says when to repeat the request.",
}


def list_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of problems by status, with those that every request may have."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemResponse"}}}
    return {
        status: {"model": ProblemResponse, "description": _PROBLEMS[status], "content": content}
        for status in sorted({401, 422, 503, *statuses})
    }


def describe_file(description: str, *types: str) -> dict[str, Any]:
    """Return the OpenAPI description of a body that is a file."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in types}
    return {"requestBody": {"description": description, "required": True, "content": content}}


def get_service(request: Request) -> Service:
    """Return the service of a request."""
    return cast("Service", request.app.state.service)


def respond(record: Mapping[str, Any], status: int = 200) -> Response:
    """Return a JSON object as a response."""
    return Response(dump_json(record), status, {"Cache-Control": "no-store"}, "application/json")


async def read_prompts(service: Service, objects: Sequence[ObjectPrompt]) -> dict[int, Prompt]:
    """Return the prompts of a request by object id. Masks are decoded in a thread. See `make_prompts`."""
    if any(one.mask is not None for one in objects):
        return await service.run_in_thread(make_prompts, objects, service.limits.pixels)
    return make_prompts(objects, service.limits.pixels)


async def read_image(service: Service, request: ImageRequest) -> ServedImage:
    """Return the image of a request, by its key or its content.

    Raises:
        MaskletError: `bad-request`. The request has neither or both. Also the errors of `Service.read_image`.
    """
    if (request.image is None) == (request.data is None):
        raise MaskletError("bad-request", "give either image, the key of an image, or data, the base64 of a file")
    if request.image is not None:
        return service.find_image(request.image)
    return await service.read_image(cast("str", request.data))
