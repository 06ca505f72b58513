"""Bodies of requests, read within a number of bytes and in time."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

BODY_TIMEOUT_S = 10.0
"""Seconds in which a part of a body arrives."""


async def read_body(request: Request, limit: int) -> bytes:
    """Read the body of a request.

    Raises:
        HTTPException: 413. It is longer than `limit` bytes. 408. The client stops sending it.
    """
    check_length(request, limit)
    parts: list[bytes] = []
    bounded = Request(request.scope, bound(request.receive, limit))
    async for part in bounded.stream():
        parts.append(part)
    return b"".join(parts)


def check_length(request: Request, limit: int) -> None:
    """Raise `HTTPException` (413) if a request announces a body of more than `limit` bytes."""
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > limit:
        raise HTTPException(413, f"the body has {length[:20]} bytes, the limit is {limit}")


def bound(receive: Receive, limit: int, error: type[HTTPException] = HTTPException) -> Receive:
    """Return a `receive` that raises an error for a body beyond `limit` bytes (413), or that does not arrive (408).

    Args:
        receive: What receives the messages of a request.
        limit: Most bytes of the body.
        error: Class of the error; FastAPI lets only its own pass.
    """
    total, is_complete = 0, False

    async def receive_part() -> Message:
        nonlocal total, is_complete
        if is_complete:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), BODY_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise error(408, f"no part of the body arrived for {BODY_TIMEOUT_S:g} s") from None
        total += len(message.get("body", b""))
        if total > limit:
            raise error(413, f"the body has more than {limit} bytes")
        is_complete = not message.get("more_body", False)
        return message

    return receive_part
