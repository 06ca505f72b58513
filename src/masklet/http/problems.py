"""Problem responses (RFC 9457) of HTTP resources."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from masklet.errors import MaskletError
from masklet.http.json_text import dump_json

_NOT_FOUND = frozenset({"input-not-found", "unknown-frame", "unknown-object"})
_log = logging.getLogger("masklet.http")


def problem(status: int, code: str, detail: str = "", **headers: str) -> Response:
    """Return a problem response. Underscores in the names of headers stand for hyphens."""
    body = {"title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail, "retryable": False}
    return _respond(body, **headers)


def problem_of(error: BaseException) -> Response:
    """Return the problem response of an exception; exceptions that are not `MaskletError` are logged."""
    if not isinstance(error, MaskletError):
        error = log_bug(error)
    status = 500 if error.code == "internal" else 503 if error.retryable else 422
    status = 404 if error.code in _NOT_FOUND else 400 if error.code == "bad-request" else status
    return _respond({"title": HTTPStatus(status).phrase, "status": status, **describe_problem(error)})


def log_bug(error: BaseException) -> MaskletError:
    """Log an unexpected exception with its traceback, and return it as an error that can be shown to the user."""
    _log.error("a bug in masklet", exc_info=error)
    return MaskletError("internal", f"a bug in masklet: {type(error).__name__}: {error}")


def describe_problem(error: MaskletError) -> dict[str, Any]:
    """Return an error as the `problem` of a reply or an event."""
    detail = f"{error.message}; {error.hint}" if error.hint else error.message
    return {"code": error.code, "detail": detail, "retryable": error.retryable}


def _respond(body: dict[str, Any], **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    headers = {**named, "Cache-Control": "no-store"}
    return Response(dump_json(body), body["status"], headers, "application/problem+json")
