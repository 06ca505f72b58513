"""Video sessions by HTTP: creating them, prompts, and propagation as a stream of frames."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse

from masklet.errors import MaskletError
from masklet.http.json_text import dump_json
from masklet.http.problems import Problem
from masklet.serve.api.models import (
    FrameResponse,
    OpenRequest,
    Output,
    PromptRequest,
    PropagateRequest,
    SessionResponse,
)
from masklet.serve.api.results import describe_frame, describe_masks
from masklet.serve.api.routes import describe_file, get_service, list_problems, read_prompts, respond
from masklet.serve.body import read_form, receive_file
from masklet.serve.service import Service
from masklet.serve.sessions import VideoSession
from masklet.video import Video

router = APIRouter(tags=["videos"])
SessionId = Annotated[str, Path(description="Id of the session.")]
FrameNumber = Annotated[int, Path(ge=0, description="Number of the frame, from 0.")]
Lines = Literal["application/x-ndjson", "text/event-stream"]
_VIDEO_TYPES = ("application/octet-stream", "video/mp4", "video/quicktime", "video/webm", "video/x-matroska")
_FRAMES_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"frames": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            }
        },
    }
}


@router.post(
    "/v1/videos",
    summary="Create a session from a video file",
    status_code=201,
    response_model=SessionResponse,
    responses=list_problems(408, 413),
    openapi_extra=describe_file("An MP4, MOV, MKV, WebM, AVI or MPEG file.", *_VIDEO_TYPES),
)
async def send_video(request: Request) -> Response:
    """Create a video session. The body is the file, which the server removes when the session ends."""
    service = get_service(request)
    async with receive_file(request, service.upload_folder) as path:
        video = await service.open_upload(path)
        session = await service.sessions.create(video, on_release=lambda: path.unlink(missing_ok=True))
    return respond(describe_session(service, session), 201)


@router.post(
    "/v1/videos/frames",
    summary="Create a session from images",
    status_code=201,
    response_model=SessionResponse,
    responses=list_problems(400, 408, 413, 415),
    openapi_extra=_FRAMES_BODY,
)
async def send_frames(request: Request) -> Response:
    """Create a video session from images of one size, in the order of the parts named `frames` of a form."""
    service = get_service(request)
    form = await read_form(request)
    try:
        frames = [await one.read() for one in form.getlist("frames") if isinstance(one, UploadFile)]
    finally:
        await form.close()
    session = await service.sessions.create(await service.open_frames(frames))
    return respond(describe_session(service, session), 201)


@router.post(
    "/v1/videos/open",
    summary="Create a session from a file or an address that the operator allows",
    status_code=201,
    response_model=SessionResponse,
    responses=list_problems(400, 404, 413, 415),
)
async def open_source(request: Request, body: OpenRequest) -> Response:
    """Create a video session from a path below `--root`, or from an address that begins with one of `--allow-url`."""
    service = get_service(request)
    if (body.path is None) == (body.url is None):
        raise MaskletError("bad-request", "give either path or url")
    if body.path is not None:
        session = await service.sessions.create(await service.open_path(body.path))
    else:
        session = await _create_from_url(service, str(body.url))
    return respond(describe_session(service, session), 201)


@router.get(
    "/v1/videos/{session}", summary="Show a session", response_model=SessionResponse, responses=list_problems(410)
)
async def show_session(request: Request, session: SessionId) -> Response:
    """Show the size and the objects of a session."""
    service = get_service(request)
    return respond(describe_session(service, service.sessions.get(session)))


@router.delete("/v1/videos/{session}", summary="End a session", status_code=204, responses=list_problems(410))
async def delete_session(request: Request, session: SessionId) -> Response:
    """End a session and release its memory. A propagation that runs ends after its next frame."""
    get_service(request).sessions.delete(session)
    return Response(status_code=204)


@router.post(
    "/v1/videos/{session}/prompts",
    summary="Prompt or correct objects on a frame",
    response_model=FrameResponse,
    response_model_exclude_none=True,
    responses=list_problems(400, 404, 410, 413, 415),
)
async def prompt(request: Request, session: SessionId, body: PromptRequest) -> Response:
    """Prompt objects, and return the masks of all objects on the frame.

    A prompt replaces the earlier one of the object on the frame. On a frame that was tracked before, it
    is a correction.
    """
    service = get_service(request)
    return respond(await run_prompt(service, service.sessions.get(session), body))


@router.get(
    "/v1/videos/{session}/frames/{frame}",
    summary="Masks of a frame",
    response_model=FrameResponse,
    response_model_exclude_none=True,
    responses=list_problems(404, 410),
)
async def show_frame(
    request: Request, session: SessionId, frame: FrameNumber, output: Annotated[Output, Query()] = "rle"
) -> Response:
    """Return the masks of all objects on a frame that was prompted or tracked; others are empty."""
    service = get_service(request)
    masks = await service.sessions.get(session).masks(frame)
    return respond({"frame": frame, **await service.run_in_thread(describe_masks, masks, output)})


@router.delete(
    "/v1/videos/{session}/objects/{object_id}",
    summary="Remove an object",
    status_code=204,
    responses=list_problems(404, 410),
)
async def remove_object(request: Request, session: SessionId, object_id: Annotated[int, Path()]) -> Response:
    """Remove an object with all its prompts and masks."""
    await get_service(request).sessions.get(session).remove_object(object_id)
    return Response(status_code=204)


@router.delete(
    "/v1/videos/{session}/prompts/{frame}/{object_id}",
    summary="Remove a prompt",
    status_code=204,
    responses=list_problems(404, 410),
)
async def remove_prompt(
    request: Request, session: SessionId, frame: FrameNumber, object_id: Annotated[int, Path()]
) -> Response:
    """Remove the prompt of an object on a frame. An object that loses its last prompt is removed."""
    await get_service(request).sessions.get(session).remove_prompt(frame, object_id)
    return Response(status_code=204)


@router.post(
    "/v1/videos/{session}/propagate",
    summary="Track all objects, frame by frame",
    responses={
        200: {
            "description": 'One line per frame, a `FrameResponse`. The last line is `{"done": true, "frames": N}`, or '
            '`{"problem": …}` if tracking failed.',
            "content": {
                "application/x-ndjson": {"schema": {"$ref": "#/components/schemas/FrameResponse"}},
                "text/event-stream": {"schema": {"type": "string"}},
            },
        },
        **list_problems(400, 409, 410, 415),
    },
)
async def propagate(request: Request, session: SessionId, body: PropagateRequest) -> Response:
    """Track all objects through a range of frames. Each frame is sent when it is computed.

    The response has lines of JSON; with `Accept: text/event-stream` it has server-sent events named `frame`, `done` and
    `problem`. Tracking ends when the client disconnects, or by `cancel`.
    """
    service = get_service(request)
    found = service.sessions.get(session)
    lines = run_propagation(service, found, body)
    first = await anext(lines)  # so that a refusal has its status
    is_events = "text/event-stream" in request.headers.get("accept", "")
    kind: Lines = "text/event-stream" if is_events else "application/x-ndjson"
    return StreamingResponse(_write_lines(first, lines, kind), headers={"Cache-Control": "no-store"}, media_type=kind)


@router.post("/v1/videos/{session}/cancel", summary="Cancel the propagation", responses=list_problems(410))
async def cancel(request: Request, session: SessionId) -> dict[str, bool]:
    """End the propagation that runs after its next frame. `cancelled` says whether one ran."""
    return {"cancelled": get_service(request).sessions.get(session).cancel()}


async def run_prompt(service: Service, session: VideoSession, body: PromptRequest) -> dict[str, Any]:
    """Return the response to a prompt on a frame of a video."""
    prompts = await read_prompts(service, body.objects)
    masks = await session.prompt(body.frame, prompts)
    return {"frame": body.frame, **await service.run_in_thread(describe_masks, masks, body.output)}


async def run_propagation(
    service: Service, session: VideoSession, body: PropagateRequest
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the frames of a propagation as responses, and then how many there were."""
    count = 0
    tracked = session.propagate(start=body.start, stop=body.stop, direction=body.direction)
    async with aclosing(tracked) as frames:
        async for frame in frames:
            yield await service.run_in_thread(describe_frame, frame, body.output)
            count += 1
    yield {"done": True, "frames": count}


def describe_session(service: Service, session: VideoSession) -> dict[str, Any]:
    """Return a session as a response."""
    video: Video | None = session.video
    height, width = session.size or (0, 0)
    return {
        "session": session.id,
        "frames": len(video) if video is not None else 0,
        "width": width,
        "height": height,
        "objects": [*session.object_ids],
        "idle_s": service.limits.session_idle_s,
    }


async def _write_lines(
    first: dict[str, Any], rest: AsyncGenerator[dict[str, Any], None], kind: Lines
) -> AsyncGenerator[str, None]:
    """Yield records as lines or events. A failure is the last one, since the status has been sent."""
    write = _write_event if kind == "text/event-stream" else _write_line
    async with aclosing(rest):
        try:
            yield write(first)
            async for record in rest:
                yield write(record)
        except Exception as error:  # noqa: BLE001 - reported to the client and logged
            yield write({"problem": Problem.of(error).to_record()})


def _write_line(record: dict[str, Any]) -> str:
    return f"{dump_json(record)}\n"


def _write_event(record: dict[str, Any]) -> str:
    name = next((name for name in ("done", "problem") if name in record), "frame")
    return f"event: {name}\ndata: {dump_json(record)}\n\n"


async def _create_from_url(service: Service, url: str) -> VideoSession:
    path = await service.download(url)
    try:
        video = await service.open_upload(path)
        return await service.sessions.create(video, on_release=lambda: path.unlink(missing_ok=True))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
