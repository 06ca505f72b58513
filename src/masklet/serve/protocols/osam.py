"""Protocol of osam's server: the mask of one object in an image."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from masklet.errors import PromptError
from masklet.files.json_fields import Fields
from masklet.http.problems import Problem
from masklet.masks.masks import Masks
from masklet.predict.point_labels import make_prompt
from masklet.prompts import Prompt, click
from masklet.serve.body import read_json
from masklet.serve.service import Service

PREFIX = "/osam"


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes of the protocol."""
    resources = _Resources(service)
    return [Route("/", resources.index), Route("/api/generate", resources.generate, methods=["POST"])]


def make_error_response(problem: Problem) -> Response:
    """Return an error as osam does: `{"detail": …}`, with status 400 for a value that is not valid."""
    status = 400 if problem.status == 422 else problem.status
    return JSONResponse({"detail": problem.detail or problem.code}, status, problem.headers)


class _Resources:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def index(self, request: Request) -> Response:
        """Say that the server runs."""
        return PlainTextResponse("osam is running")

    async def generate(self, request: Request) -> Response:
        """Predict the mask of one object. The model is that of the server, whatever the request names."""
        body = Fields(await read_json(request), "the request")
        name = body.text("model")
        if body.get("image") is None:
            raise PromptError("bad-prompt", "the request needs an image; masklet takes no image_embedding")
        image = await self._service.read_image(body.text("image"))
        masks = await self._service.predict(image, _read_prompt(body, image.size))
        annotations = await self._service.run_in_thread(_annotate, masks)
        return JSONResponse({"model": name, "image_embedding": None, "annotations": annotations})


def _read_prompt(body: Fields, size: tuple[int, int]) -> Prompt:
    """Return the prompt of a request; without one, a click in the middle, as in osam."""
    if body.get("prompt") is None:
        return click(size[1] / 2, size[0] / 2)
    fields = body.object("prompt")
    if fields.get("points") is None or fields.get("point_labels") is None:
        raise PromptError("bad-prompt", "the prompt must have points and point_labels; this model takes no texts")
    return make_prompt(fields.arrays("points"), fields.array("point_labels"))


def _annotate(masks: Masks) -> list[dict[str, Any]]:
    """Return the annotation of the first mask: none if it is empty. The box includes its last row and column."""
    mask = masks.binary[0]
    if not mask.any():
        return []
    x0, y0, x1, y1 = (int(edge) for edge in masks.boxes[0])
    png = io.BytesIO()
    Image.fromarray(mask[y0:y1, x0:x1].astype(np.uint8) * 255).save(png, "PNG")
    box = {"xmin": x0, "ymin": y0, "xmax": x1 - 1, "ymax": y1 - 1}
    score = float(np.clip(masks.scores[0], 0, 1))
    text = base64.b64encode(png.getvalue()).decode()
    return [{"bounding_box": box, "text": None, "score": score, "mask": text}]
