"""Protocol of CVAT: the serverless functions of nuclio, and the part of nuclio's dashboard that CVAT uses.

CVAT lists the functions at `/api/functions` and calls them at `/api/function_invocations`. Each function also has a
path of its own, `/interactor`, `/tracker` and `/detector`, for other clients of such functions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from masklet.files.json_fields import Fields
from masklet.http.problems import Problem
from masklet.masks.cvat_shapes import make_click_prompt
from masklet.masks.masks import Masks
from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.serve.body import read_json
from masklet.serve.protocols.cvat_functions import describe_functions, make_detections
from masklet.serve.protocols.cvat_tracking import CvatTracker
from masklet.serve.service import Service

PREFIX = "/cvat"
ROOT_PATHS = ("/api/functions", "/api/function_invocations")  # CVAT is given the host and the port of nuclio only
NAME_HEADER = "x-nuclio-function-name"

Function = Callable[[Fields], Awaitable[Any]]


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes of the protocol."""
    resources = _Resources(service)
    return [
        Route("/api/functions", resources.list_functions),
        Route("/api/functions/{name}", resources.describe_function),
        Route("/api/function_invocations", resources.invoke, methods=["POST"]),
        *(Route(f"/{kind}", resources.make_endpoint(kind), methods=["POST"]) for kind in resources.functions),
    ]


def make_error_response(problem: Problem) -> Response:
    """Return an error as the functions of CVAT do, an object with `error`; CVAT shows the status and this text."""
    return JSONResponse({"error": problem.detail or problem.code}, problem.status, dict(problem.headers))


class _Resources:
    def __init__(self, service: Service) -> None:
        self._service, self._tracker = service, CvatTracker(service)
        self.functions: dict[str, Function] = {
            "interactor": self._interact,
            "tracker": self._track,
            "detector": self._detect,
        }

    async def list_functions(self, request: Request) -> Response:
        """Return the functions as nuclio's dashboard does."""
        return JSONResponse(self._describe(request))

    async def describe_function(self, request: Request) -> Response:
        """Return one function."""
        name = request.path_params["name"]
        functions = self._describe(request)
        if name not in functions:
            raise _unknown(name)
        return JSONResponse(functions[name])

    async def invoke(self, request: Request) -> Response:
        """Call the function that a header names."""
        name = request.headers.get(NAME_HEADER, "")
        kind = name.removeprefix("masklet-")
        if kind not in self.functions or kind == name:
            raise _unknown(name)
        return await self._call(kind, request)

    def make_endpoint(self, kind: str) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of one function."""

        async def call(request: Request) -> Response:
            return await self._call(kind, request)

        return call

    async def _call(self, kind: str, request: Request) -> Response:
        return JSONResponse(await self.functions[kind](Fields(await read_json(request), "the request")))

    async def _interact(self, request: Fields) -> Any:
        image = await self._service.read_image(request.text("image"))
        positive, negative, box = (_read_list(request, name) for name in ("pos_points", "neg_points", "obj_bbox"))
        prompt = make_click_prompt(positive, negative, box)
        masks = await self._service.predict(image, prompt)
        return {"mask": await self._service.run_in_thread(_list_pixels, masks)}

    async def _track(self, request: Fields) -> Any:
        image = await self._service.read_image(request.text("image"))
        shapes, states = await self._tracker.track(image, _read_list(request, "shapes"), _read_list(request, "states"))
        return {"shapes": shapes, "states": states}

    async def _detect(self, request: Fields) -> Any:
        image = await self._service.read_image(request.text("image"))
        threshold = request.number("threshold") if request.get("threshold") is not None else None
        options = MaskGeneratorOptions() if threshold is None else MaskGeneratorOptions(pred_iou_thresh=threshold)
        generated = await self._service.generate(image, options)
        return await self._service.run_in_thread(make_detections, generated)

    def _describe(self, request: Request) -> dict[str, Any]:
        return describe_functions(self._service.model_info, request.url.port)


def _list_pixels(masks: Masks) -> list[list[int]]:
    pixels: list[list[int]] = np.asarray(masks.binary[0]).astype(np.uint8).tolist()
    return pixels


def _read_list(request: Fields, name: str) -> list[Any]:
    """Return a list of the request, which may be missing or null."""
    return [] if request.get(name) is None else request.array(name)


def _unknown(name: str) -> HTTPException:
    return HTTPException(404, f"there is no function {name[:100]!r}")
