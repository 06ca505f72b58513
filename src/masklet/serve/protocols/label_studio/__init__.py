"""Protocol of Label Studio's ML backends: interactive masks, pre-annotation, and the tools for videos.

`backend.py` handles requests, `events.py` those of the video tools. `prompts.py`, `regions.py` and `label_config.py`
translate between Label Studio's JSON and masklet; `task_media.py` and `access.py` read the files of tasks.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from masklet.errors import MaskletError
from masklet.files.json_fields import Fields
from masklet.http.problems import Problem
from masklet.serve.body import read_json
from masklet.serve.protocols.label_studio.backend import Backend
from masklet.serve.service import Service

PREFIX = "/label-studio"
_ACTIONS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATION_DELETED", "ANNOTATIONS_CREATED")


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes of the protocol."""
    resources = _Resources(service)
    return [
        Route("/", resources.report_health),
        Route("/health", resources.report_health),
        Route("/setup", resources.set_up, methods=["POST"]),
        Route("/versions", resources.list_versions),
        Route("/predict", resources.predict, methods=["POST"]),
        Route("/webhook", resources.receive_event, methods=["POST"]),
        Route("/metrics", resources.report_metrics),
    ]


def make_error_response(problem: Problem) -> Response:
    """Return an error as JSON with the text in `error`, under the status by which Label Studio notices it."""
    headers = dict(problem.headers)
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="masklet"'
    body = {"error": problem.detail or problem.code, "code": problem.code}
    return JSONResponse(body, problem.status, headers)


class _Resources:
    def __init__(self, service: Service) -> None:
        self._backend = Backend(service)

    async def report_health(self, request: Request) -> Response:
        """Return that the backend runs."""
        return JSONResponse({"status": "UP", "model_class": "Masklet"})

    async def set_up(self, request: Request) -> Response:
        """Connect a project."""
        return JSONResponse(self._backend.set_up(await _read_fields(request)))

    async def list_versions(self, request: Request) -> Response:
        """Return the version of the model."""
        return JSONResponse({"versions": [self._backend.model_version]})

    async def predict(self, request: Request) -> Response:
        """Predict tasks."""
        return JSONResponse(await self._backend.predict(await _read_fields(request)))

    async def receive_event(self, request: Request) -> Response:
        """Confirm an event of a project. Nothing depends on annotations, and training is another command."""
        fields = await _read_fields(request)
        action = fields.text("action", "")
        if action == "START_TRAINING":
            message = "masklet serve does not train; export the annotations as COCO and run masklet train"
            raise MaskletError("bad-request", message)
        is_known = action in _ACTIONS
        return JSONResponse({"result": {}, "status": "ok" if is_known else "Unknown event"}, 201)

    async def report_metrics(self, request: Request) -> Response:
        """Return no metrics; those of the server are at `/metrics`, without the prefix."""
        return JSONResponse({})


async def _read_fields(request: Request) -> Fields:
    body: Any = await read_json(request)
    return Fields(body, "the request")
