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


def bound(receive: Receive, limit: int) -> Receive:
    """Return a `receive` that raises `HTTPException`: 413 beyond `limit` bytes, 408 if the client stops sending."""
    total = 0

    async def receive_part() -> Message:
        nonlocal total
        try:
            message = await asyncio.wait_for(receive(), BODY_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise HTTPException(408, f"no part of the body arrived for {BODY_TIMEOUT_S:g} s") from None
        total += len(message.get("body", b""))
        if total > limit:
            raise HTTPException(413, f"the body has more than {limit} bytes")
        return message

    return receive_part
