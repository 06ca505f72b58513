"""Images by HTTP: sending them, prompts, and automatic masks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from masklet.serve.api.models import (
    GenerateRequest,
    ImageResponse,
    MasksResponse,
    ModelResponse,
    PredictRequest,
)
from masklet.serve.api.results import describe_generated, describe_masks
from masklet.serve.api.routes import describe_file, get_service, list_problems, read_image, read_prompts, respond
from masklet.serve.body import read_file
from masklet.serve.image_store import ServedImage
from masklet.serve.service import Service

router = APIRouter(tags=["images"])
_IMAGE_TYPES = ("application/octet-stream", "image/jpeg", "image/png", "image/webp", "image/tiff", "image/bmp")


@router.get("/v1/model", summary="The model", response_model=ModelResponse, responses=list_problems())
async def show_model(request: Request) -> Response:
    """Name, runtime and device of the model that computes all masks."""
    return respond(asdict(get_service(request).model_info))


@router.get("/v1/limits", summary="The limits", responses=list_problems())
async def show_limits(request: Request) -> dict[str, float]:
    """Limits of this server: sizes in bytes and pixels, numbers of objects, frames, sessions and waiting requests."""
    return asdict(get_service(request).limits)


@router.post(
    "/v1/images",
    summary="Send an image",
    status_code=201,
    response_model=ImageResponse,
    responses=list_problems(408, 413),
    openapi_extra=describe_file("A JPEG, PNG, WebP, TIFF or BMP file.", *_IMAGE_TYPES),
)
async def send_image(
    request: Request,
    embed: Annotated[bool, Query(description="Encode the image now, so that the first prompt takes less time.")] = True,
) -> Response:
    """Send an image once, for any number of prompts. The body is the file.

    The key is a hash of the file. The server forgets images that were not used for the longest time, beyond a budget;
    a request with their key gets status 404 with the code `input-not-found`, after which the image is to be sent again.
    """
    service = get_service(request)
    image = await service.read_image(await read_file(request))
    if embed:
        await service.embed(image)
    return respond(describe_image(image), 201)


@router.get("/v1/images/{key}", summary="Find an image", response_model=ImageResponse, responses=list_problems(404))
async def find_image(request: Request, key: Annotated[str, Path(description="Key of the image.")]) -> Response:
    """Ask whether the server still has an image."""
    return respond(describe_image(get_service(request).find_image(key)))


@router.post(
    "/v1/predict",
    summary="Predict masks of prompted objects",
    response_model=MasksResponse,
    response_model_exclude_none=True,
    responses=list_problems(400, 404, 408, 413, 415),
)
async def predict(request: Request, body: PredictRequest) -> Response:
    """Predict one mask per object, from points, boxes and masks. Requests of several clients are computed together."""
    return respond(await run_predict(get_service(request), body))


@router.post(
    "/v1/generate",
    summary="Segment an image without prompts",
    response_model=MasksResponse,
    response_model_exclude_none=True,
    responses=list_problems(400, 404, 408, 413, 415),
)
async def generate(request: Request, body: GenerateRequest) -> Response:
    """Segment everything in an image, by a grid of points. Masks are listed by descending score."""
    return respond(await run_generate(get_service(request), body))


async def run_predict(service: Service, body: PredictRequest) -> dict[str, Any]:
    """Return the response to a request for predictions."""
    image = await read_image(service, body)
    prompts = await read_prompts(service, body.objects)
    masks = await service.predict(image, prompts, multimask=body.multimask)
    return {"image": image.key, **await service.run_in_thread(describe_masks, masks, body.output)}


async def run_generate(service: Service, body: GenerateRequest) -> dict[str, Any]:
    """Return the response to a request for automatic masks."""
    image = await read_image(service, body)
    generated = await service.generate(image, body.options.to_options())
    return {"image": image.key, **await service.run_in_thread(describe_generated, generated, body.output)}


def describe_image(image: ServedImage) -> dict[str, Any]:
    """Return an image as a response."""
    height, width = image.size
    return {"image": image.key, "width": width, "height": height}
