"""Video sessions of the server of X-AnyLabeling: frames are sent once, prompted, and tracked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from itertools import count
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from masklet.errors import InputNotFound, PromptError, SettingsError, StateError
from masklet.files.json_fields import Fields
from masklet.http.problems import Problem
from masklet.predict.point_labels import make_prompt
from masklet.prompts import Prompt
from masklet.serve.body import read_json
from masklet.serve.protocols.x_anylabeling.shapes import make_shapes, read_epsilon, read_params, refuse_text, succeed
from masklet.serve.service import Service
from masklet.serve.sessions import VideoSession
from masklet.tracking.traversal import Direction

VIDEO_MODEL = "masklet-video"
_PROGRAM_OBJECT = 10_000  # the number that X-AnyLabeling gives to every object
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

Event = dict[str, Any]


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes."""
    resources = _Resources(service)
    return [
        Route("/v1/video/init", resources.init, methods=["POST"]),
        Route("/v1/video/prompt", resources.prompt, methods=["POST"]),
        Route("/v1/video/propagate", resources.propagate, methods=["POST"]),
        Route("/v1/video/propagate/stream", resources.stream, methods=["POST"]),
        Route("/v1/video/status/{task}", resources.status),
        Route("/v1/video/cancel/{task}", resources.cancel, methods=["POST"]),
        Route("/v1/video/cleanup/{session}", resources.cleanup, methods=["POST"]),
    ]


class _Resources:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def init(self, request: Request) -> Response:
        """Open a session with the frames of a video."""
        body = await _read_body(request, self._service)
        frames = [_require_text(frame, number) for number, frame in enumerate(body.array("frames"))]
        video = await self._service.open_frames(frames)
        session = await self._service.sessions.create(video)
        session.data.update(tasks={}, numbers=count(1), tracked=set(), epsilon=None)
        return succeed({"session_id": session.id, "num_frames": len(video)})

    async def prompt(self, request: Request) -> Response:
        """Prompt an object on a frame, and return its mask there.

        X-AnyLabeling gives all objects one number. What it prompts after a propagation is another object.
        """
        body = await _read_body(request, self._service)
        session = self._find_session(body)
        refuse_text(body)
        frame, object_id = body.integer("frame_index", 0), body.integer("obj_id", 1)
        prompt, epsilon = _read_prompt(body, session), read_epsilon(read_params(body))
        tracked: set[int] = session.data["tracked"]
        if object_id == _PROGRAM_OBJECT and object_id in tracked:
            await session.remove_object(object_id)
        tracked.discard(object_id)
        session.data["epsilon"] = epsilon
        masks = (await session.prompt(frame, {object_id: prompt})).of(object_id)
        shapes = await self._service.run_in_thread(make_shapes, masks, epsilon)
        return succeed({"frame_index": frame, "masks": shapes, "num_objects": len(session.object_ids)})

    async def propagate(self, request: Request) -> Response:
        """Track the objects in the background."""
        body = await _read_body(request, self._service)
        session = self._find_session(body)
        task_id = f"{session.id}.{next(session.data['numbers'])}"
        record: Event = {"task_id": task_id, "status": "processing", "current_frame": None, "total_frames": None}
        session.data["tasks"] = {task_id: record}  # the results of earlier ones are dropped
        events = self._track(session, body)
        record["_task"] = asyncio.create_task(_follow(events, record))
        return succeed({"task_id": task_id, "status": "processing", "message": "Propagation started"})

    async def stream(self, request: Request) -> Response:
        """Track the objects, and send events as they are tracked."""
        body = await _read_body(request, self._service)
        session = self._find_session(body)
        return StreamingResponse(_write(self._track(session, body)), headers=_HEADERS, media_type="text/event-stream")

    async def status(self, request: Request) -> Response:
        """Return how far a propagation is, and its results at the end."""
        record = self._find_task(request.path_params["task"])[1]
        return succeed({name: value for name, value in record.items() if not name.startswith("_")})

    async def cancel(self, request: Request) -> Response:
        """End a propagation after its next frame."""
        session, record = self._find_task(request.path_params["task"])
        if record["status"] == "processing":
            record["status"] = "cancelled"
            session.cancel()
        return succeed({"task_id": record["task_id"], "status": record["status"]})

    async def cleanup(self, request: Request) -> Response:
        """End a session."""
        session_id = request.path_params["session"]
        self._service.sessions.delete(session_id)
        return succeed({"message": f"Session {session_id} cleaned up"})

    def _find_session(self, body: Fields) -> VideoSession:
        session = self._service.sessions.get(body.text("session_id"))
        if "tracked" not in session.data:
            raise StateError("session-gone", f"session {session.id[:100]!r} belongs to another protocol")
        return session

    def _find_task(self, task_id: str) -> tuple[VideoSession, Event]:
        session = self._service.sessions.get(task_id.rpartition(".")[0])
        record = session.data.get("tasks", {}).get(task_id)
        if record is None:
            raise InputNotFound("input-not-found", f"task {task_id} is not known, or another one was started since")
        return session, record

    async def _track(self, session: VideoSession, body: Fields) -> AsyncGenerator[Event, None]:
        """Yield the events of a propagation through the frames that a request asks for, both ends included."""
        assert session.video is not None
        first = min(await session.list_prompts(), default=0)
        start, end = body.integer("start_frame", first), body.integer("end_frame", len(session.video) - 1)
        yield {"type": "started", "total_frames": len(session.video), "start_frame_index": start}
        direction: Direction = "both" if start < first else "forward"
        frames = session.propagate(start=start, stop=end + 1, direction=direction)
        results: dict[str, Any] = {}
        async with aclosing(frames):
            async for frame in frames:
                if start <= frame.index <= end:
                    shapes = await self._service.run_in_thread(make_shapes, frame.masks, session.data["epsilon"])
                    results[str(frame.index)] = {"masks": shapes}
                yield {"type": "progress", "current_frame": frame.index, "total_frames": len(session.video)}
        session.data["tracked"].update(session.object_ids)
        yield {"type": "completed", "results": results}


async def _follow(events: AsyncGenerator[Event, None], record: Event) -> None:
    """Note the events of a propagation in the record of its task."""
    async with aclosing(events):
        async for event in _report_failures(events):
            record.update({name: value for name, value in event.items() if name != "type"})
            if event["type"] == "error":
                record["status"] = "error"
            elif event["type"] == "completed" and record["status"] == "processing":
                record["status"] = "completed"


async def _write(events: AsyncGenerator[Event, None]) -> AsyncIterator[str]:
    """Write events as lines of `text/event-stream`."""
    async with aclosing(events):
        async for event in _report_failures(events):
            yield f"data: {json.dumps(event)}\n\n"


async def _report_failures(events: AsyncGenerator[Event, None]) -> AsyncIterator[Event]:
    """Yield events, and a failure as the last one."""
    try:
        async for event in events:
            yield event
    except Exception as error:  # noqa: BLE001
        yield {"type": "error", "message": Problem.of(error).detail}


async def _read_body(request: Request, service: Service) -> Fields:
    body = Fields(await read_json(request, service.limits.upload_bytes), "the request")
    if body.text("model", VIDEO_MODEL) != VIDEO_MODEL:
        raise SettingsError("unknown-model", f"model {body.text('model')[:100]!r} has no video; use {VIDEO_MODEL}")
    return body


def _require_text(frame: Any, number: int) -> str:
    if not isinstance(frame, str):
        raise PromptError("bad-prompt", f"frame {number} must be base64 of an image, got {type(frame).__name__}")
    return frame


def _read_prompt(body: Fields, session: VideoSession) -> Prompt:
    """Return the prompt of points that are fractions of the frame, as X-AnyLabeling sends them."""
    assert session.size is not None
    height, width = session.size
    points = [
        [Fields({"points": value}, "the request", ("points", number)).number("points") for value in point]
        for number, point in enumerate(body.arrays("points"))
    ]
    if any(len(point) != 2 or not all(0 <= value <= 1 for value in point) for point in points):
        raise PromptError(
            "bad-prompt", "points of a video must be [x, y], fractions of its width and height from 0 to 1"
        )
    return make_prompt([[x * width, y * height] for x, y in points], body.array("point_labels"))
