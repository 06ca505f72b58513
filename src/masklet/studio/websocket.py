"""WebSocket of the studio: reads commands, sends replies, events and binary messages."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from masklet.errors import MaskletError
from masklet.http.json_text import load_json
from masklet.http.problems import describe_problem, log_bug
from masklet.http.websocket_protocol import TRY_LATER
from masklet.studio.connection import Client, Clients, Commands
from masklet.studio.messages import unpack

NOT_JSON, WRONG_KIND, TOO_LONG = 1007, 1003, 1009  # close codes
MAX_TEXT_BYTES, MAX_BINARY_BYTES = 1 << 20, 16 << 20
_MAX_RUNNING = 64  # commands of one client
_SEND_TIMEOUT_S = 30.0
_BINARY_COMMANDS = frozenset({"paint"})


class Socket:
    """One WebSocket of a client.

    Args:
        socket: The WebSocket, which is not accepted yet.
        commands: What handles the messages.
        clients: The connected clients.
    """

    def __init__(self, socket: WebSocket, commands: Commands, clients: Clients) -> None:
        self._socket, self._commands, self._clients = socket, commands, clients
        self._client = Client(asyncio.get_running_loop())
        self._running: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(_MAX_RUNNING)

    async def run(self) -> None:
        """Serve the client until it disconnects or is disconnected."""
        await self._socket.accept()
        if not self._clients.add(self._client):
            return await self._socket.close(TRY_LATER)
        receiving = asyncio.create_task(self._receive())
        try:
            self._commands.connect(self._client)
            await self._send()
        finally:
            receiving.cancel()
            self._clients.remove(self._client)
            self._commands.disconnect(self._client)

    async def _send(self) -> None:
        """Send the messages of the client's queue, the close code last, until the connection ends."""
        while True:
            message = await self._client.next_message()
            try:
                if isinstance(message, int):
                    await self._socket.close(message)
                    return
                send = self._socket.send_text(message) if isinstance(message, str) else self._socket.send_bytes(message)
                await asyncio.wait_for(send, _SEND_TIMEOUT_S)
            except (WebSocketDisconnect, RuntimeError, asyncio.TimeoutError):
                return  # the client has disconnected, or does not read

    async def _receive(self) -> None:
        """Start the commands of the client until it disconnects."""
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                await self._places.acquire()
                self._start(message.get("text"), message.get("bytes"))
        except _Unacceptable as refusal:
            self._client.close(refusal.code)
        finally:
            self._client.close()

    def _start(self, text: str | None, data: bytes | None) -> None:
        request, payload = _parse_text(text) if text is not None else _parse_binary(data or b"")
        task = asyncio.create_task(self._reply(request, payload))
        self._running.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._places.release()

    async def _reply(self, request: Any, payload: memoryview | None) -> None:
        """Run a command and send its reply. Problems do not close the connection."""
        number = request.get("id") if isinstance(request, dict) else None
        reply = {"reply": number if type(number) is int else None}
        try:
            _check_request(request)
            if payload is None:
                arguments = {key: value for key, value in request.items() if key not in ("id", "command")}
                fields = await self._commands.handle(self._client, request["command"], arguments)
            else:
                fields = await self._commands.handle_binary(self._client, request, payload)
            self._client.send_event({**fields, **reply})
        except MaskletError as error:
            self._client.send_event({**reply, "problem": describe_problem(error)})
        except Exception as error:  # noqa: BLE001 - reported to the client and logged
            self._client.send_event({**reply, "problem": describe_problem(log_bug(error))})


class _Unacceptable(Exception):
    """A message after which the connection is closed."""

    def __init__(self, code: int) -> None:
        self.code = code


def _parse_text(text: str) -> tuple[Any, None]:
    if len(text.encode(errors="replace")) > MAX_TEXT_BYTES:
        raise _Unacceptable(TOO_LONG)
    try:
        return load_json(text), None
    except ValueError:
        raise _Unacceptable(NOT_JSON) from None


def _parse_binary(data: bytes) -> tuple[dict[str, Any], memoryview]:
    try:
        header, payload = unpack(data)
    except MaskletError:
        raise _Unacceptable(WRONG_KIND) from None
    if header.get("command") not in _BINARY_COMMANDS:
        raise _Unacceptable(WRONG_KIND)
    return header, payload


def _check_request(request: Any) -> None:
    """Raise `MaskletError` (`bad-request`) unless the request has an id and a command."""
    if not isinstance(request, dict) or type(request.get("id")) is not int or type(request.get("command")) is not str:
        raise MaskletError("bad-request", 'a request is {"id": NUMBER, "command": NAME, …}')
