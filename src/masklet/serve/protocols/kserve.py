"""Open Inference Protocol (KServe v2, also spoken by Triton): prompts and images as tensors, masks as tensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from masklet.errors import PromptError
from masklet.files.json_fields import Fields
from masklet.http.problems import Problem
from masklet.masks.masks import Masks
from masklet.predict.point_labels import make_prompt
from masklet.prompts import Prompt, box
from masklet.serve.body import read_file
from masklet.serve.image_store import ServedImage
from masklet.serve.protocols.kserve_tensors import BYTES, Tensor, read_tensors, split_body, write_tensors
from masklet.serve.service import Service

PREFIX = "/kserve"
MODEL, VERSION = "masklet", "1"
_HEADER = "Inference-Header-Content-Length"
_INPUTS = (
    {"name": "image", "datatype": BYTES, "shape": [1]},
    {"name": "points", "datatype": "FP32", "shape": [-1, -1, 2]},
    {"name": "labels", "datatype": "INT32", "shape": [-1, -1]},
    {"name": "boxes", "datatype": "FP32", "shape": [-1, 4]},
)
_OUTPUTS = (
    {"name": "rles", "datatype": BYTES, "shape": [-1]},
    {"name": "scores", "datatype": "FP32", "shape": [-1]},
    {"name": "mask_boxes", "datatype": "FP32", "shape": [-1, 4]},
    {"name": "masks", "datatype": "BOOL", "shape": [-1, -1, -1]},
)
_DEFAULT_OUTPUTS = ("rles", "scores", "mask_boxes")  # masks are large, so they are sent to those who ask for them


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes of the protocol, those of the model with and without a version."""
    resources = _Resources(service)
    found: list[BaseRoute] = [
        Route("/v2", resources.server),
        Route("/v2/health/live", resources.live),
        Route("/v2/health/ready", resources.ready),
    ]
    for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        found += [
            Route(model, resources.model),
            Route(f"{model}/ready", resources.model_ready),
            Route(f"{model}/infer", resources.infer, methods=["POST"]),
        ]
    return found


def make_error_response(problem: Problem) -> Response:
    """Return an error as the protocol does: `{"error": …}`, with status 400 for a value that is not valid."""
    status = 400 if problem.status == 422 else problem.status
    return JSONResponse({"error": problem.detail or problem.code}, status, problem.headers)


class _Resources:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def server(self, request: Request) -> Response:
        """Describe the server."""
        version = self._service.model_info.version
        return JSONResponse({"name": "masklet", "version": version, "extensions": ["binary_tensor_data"]})

    async def live(self, request: Request) -> Response:
        """Say that the server runs."""
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        """Say whether the model is loaded: status 200, else 503."""
        is_ready = self._service.is_ready
        return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)

    async def model(self, request: Request) -> Response:
        """Describe the tensors of the model."""
        _check_model(request)
        info = self._service.model_info
        return JSONResponse({"name": MODEL, "versions": [VERSION], "platform": f"masklet_{info.runtime}",
                             "inputs": _INPUTS, "outputs": _OUTPUTS})  # fmt: skip

    async def model_ready(self, request: Request) -> Response:
        """Say whether the model is loaded: status 200, else 503."""
        _check_model(request)
        is_ready = self._service.is_ready
        return JSONResponse({"name": MODEL, "ready": is_ready}, 200 if is_ready else 503)

    async def infer(self, request: Request) -> Response:
        """Predict the masks of prompted objects in an image."""
        _check_model(request)
        body, binary = split_body(await read_file(request), request.headers.get(_HEADER))
        parameters = _read_parameters(body)
        wanted = _read_outputs(body, parameters)
        tensors = read_tensors(body, binary)
        prompts = read_prompts(tensors)
        image = await self._read_image(tensors)
        masks = await self._service.predict(image, prompts, multimask=True if parameters.get("multimask") else None)
        content, length = await self._service.run_in_thread(_write, body, masks, wanted)
        if length is None:
            return Response(content, media_type="application/json")
        return Response(content, headers={_HEADER: str(length)}, media_type="application/octet-stream")

    async def _read_image(self, tensors: Mapping[str, Tensor]) -> ServedImage:
        """Return the image: the bytes of a file, or UINT8 pixels (H, W, 3) or (1, H, W, 3) RGB."""
        if "image" not in tensors:
            raise PromptError("bad-prompt", "the input 'image' is missing: BYTES of a file, or UINT8 (H, W, 3)")
        tensor = tensors["image"]
        if tensor.datatype == BYTES and tensor.values.size == 1:
            return await self._service.read_image(tensor.values.ravel()[0])
        pixels = tensor.values[0] if tensor.values.ndim == 4 and len(tensor.values) == 1 else tensor.values
        if tensor.datatype != "UINT8" or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            message = f"'image' must be one file as BYTES, or UINT8 (H, W, 3), got {tensor.datatype} {pixels.shape}"
            raise PromptError("bad-prompt", message)
        return await self._service.run_in_thread(self._service.images.add, pixels)


def read_prompts(tensors: Mapping[str, Tensor]) -> list[Prompt]:
    """Return the prompts of objects.

    Args:
        tensors: `points` (N, P, 2) with `labels` (N, P): 1 positive, 0 negative, 2 and 3 corners of a box, −1 for
            points that pad the rows; `boxes` (N, 4), x0, y0, x1, y1; or both for the same objects. Pixels of the image.

    Raises:
        PromptError: `bad-prompt`. A tensor has another shape, or there is no prompt.
    """
    points, labels, boxes = (_take(tensors, name) for name in ("points", "labels", "boxes"))
    if points is None and boxes is None:
        raise PromptError("bad-prompt", "no prompt given; send 'points' with 'labels', or 'boxes'")
    if boxes is not None and (boxes.ndim != 2 or boxes.shape[1] != 4):
        raise PromptError("bad-prompt", f"'boxes' must be (N, 4), got {boxes.shape}")
    if points is not None and (points.ndim != 3 or points.shape[2] != 2 or labels is None):
        raise PromptError("bad-prompt", f"'points' must be (N, P, 2) with 'labels' (N, P), got {points.shape}")
    if points is not None and labels is not None and labels.shape != points.shape[:2]:
        raise PromptError("bad-prompt", f"'labels' must be {points.shape[:2]}, got {labels.shape}")
    if points is not None and boxes is not None and len(points) != len(boxes):
        raise PromptError(
            "bad-prompt", f"'points' of {len(points)} objects and 'boxes' of {len(boxes)} must be of equal number"
        )
    return _combine(points, labels, boxes)


def _combine(points: NDArray[Any] | None, labels: NDArray[Any] | None, boxes: NDArray[Any] | None) -> list[Prompt]:
    prompts = [] if boxes is None else [box(*corners) for corners in boxes.tolist()]
    if points is None or labels is None:
        return prompts
    if not prompts:
        return [make_prompt(*pair) for pair in zip(points, labels, strict=True)]
    return [
        prompt + make_prompt(*pair) if (pair[1] >= 0).any() else prompt
        for prompt, pair in zip(prompts, zip(points, labels, strict=True), strict=True)
    ]


def _take(tensors: Mapping[str, Tensor], name: str) -> NDArray[Any] | None:
    """Return the numbers of an input, or None if it is missing."""
    if name not in tensors:
        return None
    if tensors[name].datatype == BYTES:
        raise PromptError("bad-prompt", f"{name!r} must be numbers, got BYTES")
    return tensors[name].values


def _check_model(request: Request) -> None:
    model, version = request.path_params["model"], request.path_params.get("version", VERSION)
    if (model, version) != (MODEL, VERSION):
        raise HTTPException(404, f"model {model[:60]!r} version {version[:20]!r} is unknown; use {MODEL} {VERSION}")


def _read_parameters(fields: Fields) -> Fields:
    return fields.object("parameters") if fields.get("parameters") is not None else Fields({}, "the request")


def _read_outputs(body: Fields, parameters: Fields) -> dict[str, bool]:
    """Return the wanted outputs, each with whether it is sent as binary data."""
    is_binary = bool(parameters.get("binary_data_output"))
    if not body.get("outputs"):
        return dict.fromkeys(_DEFAULT_OUTPUTS, is_binary)
    wanted: dict[str, bool] = {}
    for output in body.objects("outputs"):
        name, of_output = output.text("name"), _read_parameters(output).get("binary_data")
        if name not in _MAKERS:
            raise PromptError("bad-prompt", f"output {name[:60]!r} is unknown; outputs are {', '.join(_MAKERS)}")
        wanted[name] = is_binary if of_output is None else bool(of_output)
    return wanted


def _write(body: Fields, masks: Masks, wanted: Mapping[str, bool]) -> tuple[bytes, int | None]:
    """Return the content of a response, and the length of its JSON if binary data follow."""
    outputs = [_MAKERS[name](masks) for name in wanted]
    entries, binary = write_tensors(outputs, [*wanted.values()])
    record: dict[str, Any] = {"model_name": MODEL, "model_version": VERSION, "outputs": entries}
    if body.get("id") is not None:
        record["id"] = body.text("id")
    text = json.dumps(record).encode()
    return text + binary, len(text) if any(wanted.values()) else None


def _make_rles(masks: Masks) -> Tensor:
    values = np.empty(len(masks), object)
    values[:] = [json.dumps(rle).encode() for rle in masks.to_rle()]
    return Tensor("rles", BYTES, values)


_MAKERS: Mapping[str, Callable[[Masks], Tensor]] = {
    "rles": _make_rles,
    "scores": lambda masks: Tensor("scores", "FP32", masks.scores),
    "mask_boxes": lambda masks: Tensor("mask_boxes", "FP32", masks.boxes),
    "masks": lambda masks: Tensor("masks", "BOOL", masks.binary),
}
