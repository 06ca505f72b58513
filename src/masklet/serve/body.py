"""Bodies of requests to `masklet serve`: JSON, forms with files, and uploads to files, within the limits."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request

from masklet.errors import MaskletError
from masklet.files.error_translation import translate_write_errors
from masklet.http.json_text import load_json
from masklet.http.request_body import bound, check_length, read_body
from masklet.serve.limits import Limits

_MAX_FIELDS = 100  # of a form, beside its files
logging.getLogger("python_multipart").setLevel(logging.ERROR)  # the response says what is malformed


def _get_limits(request: Request) -> Limits:
    """Return the limits of the server of a request."""
    limits = request.scope.get("masklet.limits")
    return limits if isinstance(limits, Limits) else Limits()


async def read_json(request: Request, max_bytes: int | None = None) -> Any:
    """Read a body of JSON, whatever type it is declared to have.

    Args:
        request: The request.
        max_bytes: Largest body; by default the limit `body_bytes`.

    Raises:
        MaskletError: `bad-request`. It is not JSON, or contains NaN or Infinity.
        HTTPException: 413 or 408.
    """
    content = await read_body(request, max_bytes or _get_limits(request).body_bytes)
    try:
        return load_json(content.decode())
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "not UTF-8, or not a JSON value"
        raise MaskletError("bad-request", f"the body must be JSON in UTF-8: {reason}") from None


async def read_file(request: Request, max_bytes: int | None = None) -> bytes:
    """Read a body that is a file, such as an image. `max_bytes` is by default the limit `body_bytes`."""
    return await read_body(request, max_bytes or _get_limits(request).body_bytes)


async def read_form(request: Request, max_bytes: int | None = None) -> FormData:
    """Read a form, `multipart/form-data` or URL-encoded, whose files are `UploadFile` objects.

    Args:
        request: The request.
        max_bytes: Largest body; by default the limit `upload_bytes`.

    Raises:
        HTTPException: 413 or 408; 415 if it is not a form; 400 if it is malformed or has too many parts.
    """
    limits = _get_limits(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise HTTPException(415, f"the body must be multipart/form-data, got {kind[:100] or 'no type'}")
    limit = max_bytes or limits.upload_bytes
    check_length(request, limit)
    bounded = Request(request.scope, bound(request.receive, limit))
    return await bounded.form(max_files=limits.frames, max_fields=_MAX_FIELDS, max_part_size=limits.body_bytes)


@asynccontextmanager
async def receive_file(request: Request, folder: Path) -> AsyncIterator[Path]:
    """Write a body to a new file in a folder, within the limit `upload_bytes`. It is removed if the block fails.

    Raises:
        HTTPException: 413 or 408.
        ResourceError: `disk-full`, …
    """
    limit = _get_limits(request).upload_bytes
    check_length(request, limit)
    bounded = Request(request.scope, bound(request.receive, limit))
    file = tempfile.NamedTemporaryFile(dir=folder, prefix="upload-", delete=False)  # noqa: SIM115 - it is kept
    path = Path(file.name)
    try:
        with file, translate_write_errors(Path("the upload")):
            async for part in bounded.stream():
                file.write(part)
        yield path
    except BaseException:
        path.unlink(missing_ok=True)
        raise
