"""The WebSocket of the API: requests with numbers, replies, and frames of propagations between them.

    → {"id": 1, "op": "predict", "image": KEY, "objects": [{"points": [[230, 150]]}]}
    ← {"re": 1, "image": KEY, "masks": […], …}
    → {"id": 2, "op": "propagate", "session": ID}
    ← {"re": 2, "frame": 0, "masks": […], …}         one message per frame
    ← {"re": 2, "done": true, "frames": 48}
    ← {"re": 3, "problem": {"code": …, …}}           a refused request; the connection stays open

A binary message is an image file. Its reply, `{"re": null, "image": KEY, …}`, has the key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from masklet.errors import MaskletError
from masklet.http.json_text import dump_json, load_json
from masklet.http.problems import Problem
from masklet.http.websocket_protocol import SERVER_ENDS, TRY_LATER
from masklet.serve.api.images import describe_image, run_generate, run_predict
from masklet.serve.api.models import GenerateRequest, PredictRequest, PromptRequest, PropagateRequest
from masklet.serve.api.videos import describe_session, run_prompt, run_propagation
from masklet.serve.service import Service
from masklet.serve.validation import describe_errors

router = APIRouter()
NOT_JSON = 1007  # close code
MAX_CONNECTIONS = 64
_MAX_RUNNING = 64  # requests of one connection
_SEND_TIMEOUT_S = 30.0

M = TypeVar("M", bound=BaseModel)
Fields = dict[str, Any]


@router.websocket("/v1/ws")
async def serve_socket(socket: WebSocket) -> None:
    """Serve a connection."""
    sockets: set[ApiSocket] = socket.app.state.sockets
    await socket.accept("masklet" if "masklet" in socket.scope.get("subprotocols", ()) else None)
    if len(sockets) >= MAX_CONNECTIONS:
        return await socket.close(TRY_LATER)
    connection = ApiSocket(socket, socket.app.state.service)
    sockets.add(connection)
    try:
        await connection.run()
    finally:
        sockets.discard(connection)


class ApiSocket:
    """One WebSocket connection. Messages are sent one at a time; a client that does not read is disconnected.

    Args:
        socket: The accepted WebSocket.
        service: The service.
    """

    def __init__(self, socket: WebSocket, service: Service) -> None:
        self._socket, self._service = socket, service
        self._running: set[asyncio.Task[None]] = set()
        self._places, self._sending = asyncio.Semaphore(_MAX_RUNNING), asyncio.Lock()
        self._operations: Mapping[str, Callable[[Any, Fields], Awaitable[Fields]]] = {
            "predict": lambda re, fields: run_predict(service, _read(PredictRequest, fields)),
            "generate": lambda re, fields: run_generate(service, _read(GenerateRequest, fields)),
            "session": self._show_session,
            "prompt": self._prompt,
            "propagate": self._propagate,
            "cancel": self._cancel,
            "remove_object": self._remove_object,
            "delete": self._delete,
        }

    async def run(self) -> None:
        """Serve the client until it disconnects. Its propagations end with the connection."""
        try:
            with suppress(WebSocketDisconnect, RuntimeError):
                while True:
                    message = await self._socket.receive()
                    if message["type"] == "websocket.disconnect":
                        return
                    await self._places.acquire()
                    task = asyncio.create_task(self._handle(message.get("text"), message.get("bytes")))
                    self._running.add(task)
                    task.add_done_callback(self._finish)
        finally:
            for task in [*self._running]:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def close(self) -> None:
        """Close the connection because the server ends."""
        with suppress(WebSocketDisconnect, RuntimeError, asyncio.TimeoutError):
            await asyncio.wait_for(self._socket.close(SERVER_ENDS), 1.0)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._places.release()

    async def _handle(self, text: str | None, data: bytes | None) -> None:
        """Run a request and send its reply."""
        try:
            request = None if text is None else load_json(text)
        except ValueError:
            await self._close(NOT_JSON)
            return
        number = request.get("id") if isinstance(request, dict) else None
        reply: Fields = {"re": number if type(number) is int else None}
        try:
            fields = await self._receive_image(data or b"") if text is None else await self._run(reply["re"], request)
            await self._send({**reply, **fields})
        except asyncio.CancelledError:
            raise
        except ValidationError as error:
            await self._send({**reply, "problem": describe_errors(error.errors(), ()).to_record()})
        except Exception as error:  # noqa: BLE001 - reported to the client and logged
            await self._send({**reply, "problem": Problem.of(error).to_record()})

    async def _run(self, number: int | None, request: Any) -> Fields:
        is_request = isinstance(request, dict) and number is not None and isinstance(request.get("op"), str)
        if not is_request or request["op"] not in self._operations:
            names = ", ".join(self._operations)
            raise MaskletError("bad-request", f'a request is {{"id": NUMBER, "op": NAME, …}}; operations are {names}')
        fields = {name: value for name, value in request.items() if name not in ("id", "op")}
        return await self._operations[request["op"]](number, fields)

    async def _receive_image(self, data: bytes) -> Fields:
        image = await self._service.read_image(data)
        await self._service.embed(image)
        return describe_image(image)

    async def _show_session(self, number: int, fields: Fields) -> Fields:
        return describe_session(self._service, self._service.sessions.get(_take_session(fields)))

    async def _prompt(self, number: int, fields: Fields) -> Fields:
        session = self._service.sessions.get(_take_session(fields))
        return await run_prompt(self._service, session, _read(PromptRequest, fields))

    async def _propagate(self, number: int, fields: Fields) -> Fields:
        """Send every frame but the last message, which is the reply."""
        session = self._service.sessions.get(_take_session(fields))
        last: Fields = {}
        async with aclosing(run_propagation(self._service, session, _read(PropagateRequest, fields))) as frames:
            async for last in frames:
                if "frame" in last:
                    await self._send({"re": number, **last})
        return last

    async def _cancel(self, number: int, fields: Fields) -> Fields:
        return {"cancelled": self._service.sessions.get(_take_session(fields)).cancel()}

    async def _remove_object(self, number: int, fields: Fields) -> Fields:
        key = fields.get("object")
        if type(key) is not int:
            raise MaskletError("bad-request", f"object must be an object id, got {key!r:.60}")
        await self._service.sessions.get(_take_session(fields)).remove_object(key)
        return {}

    async def _delete(self, number: int, fields: Fields) -> Fields:
        self._service.sessions.delete(_take_session(fields))
        return {}

    async def _send(self, record: Fields) -> None:
        """Send a message. The connection is closed if the client does not read."""
        text = dump_json(record)
        try:
            async with self._sending:
                await asyncio.wait_for(self._socket.send_text(text), _SEND_TIMEOUT_S)
        except asyncio.TimeoutError:
            await self._close(TRY_LATER)
        except (WebSocketDisconnect, RuntimeError):  # the client has disconnected
            pass

    async def _close(self, code: int) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            await self._socket.close(code)


def _take_session(fields: Fields) -> str:
    """Take the id of the session out of the fields of a request."""
    session = fields.pop("session", None)
    if not isinstance(session, str):
        raise MaskletError("bad-request", f"session must be the id of a video session, got {session!r:.60}")
    return session


def _read(model: type[M], fields: Fields) -> M:
    return model.model_validate(fields)
