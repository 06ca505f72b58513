"""Problem responses (RFC 9457) of HTTP resources."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from masklet.errors import MaskletError
from masklet.http.json_text import dump_json

RETRY_AFTER_S = 1
_STATUSES = {
    "input-not-found": 404,
    "unknown-frame": 404,
    "unknown-object": 404,
    "bad-request": 400,
    "tracker-busy": 409,
    "session-gone": 410,
    "internal": 500,
}
_CODES = {
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    408: "too-slow",
    411: "length-required",
    413: "body-too-large",
    415: "unsupported-media-type",
}
_log = logging.getLogger("masklet.http")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request is refused.

    Attributes:
        status: HTTP status.
        code: Stable code: a key of `masklet.errors.EXIT_STATUS`, or a code of HTTP such as `not-found`.
        detail: What is wrong, the value, and what to do; may be empty.
        retryable: Whether the same request may succeed later.
        headers: Headers of the response, such as `Allow` and `Retry-After`.
        errors: Invalid fields of a request: `pointer` (RFC 6901) and `detail` of each.
    """

    status: int
    code: str
    detail: str = ""
    retryable: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    errors: Sequence[Mapping[str, str]] = ()

    @staticmethod
    def of(error: BaseException) -> Problem:
        """Return the problem of an exception. One that is neither `MaskletError` nor `HTTPException` is logged."""
        if isinstance(error, HTTPException):
            return _of_http(error)
        if not isinstance(error, MaskletError):
            error = log_bug(error)
        status = _STATUSES.get(error.code, 503 if error.retryable else 422)
        headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
        return Problem(status, headers=headers, **describe_problem(error))

    def to_record(self) -> dict[str, Any]:
        """Return the body of the response, a JSON object."""
        title = HTTPStatus(self.status).phrase
        errors = {"errors": [*self.errors]} if self.errors else {}
        return {"title": title, "status": self.status, "code": self.code, "detail": self.detail,
                "retryable": self.retryable, **errors}  # fmt: skip

    def to_response(self) -> Response:
        """Return the problem as `application/problem+json`."""
        headers = {**self.headers, "Cache-Control": "no-store"}
        return Response(dump_json(self.to_record()), self.status, headers, "application/problem+json")


def problem(status: int, code: str, detail: str = "", **headers: str) -> Response:
    """Return a problem response. Underscores in the names of headers stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Problem(status, code, detail, headers=named).to_response()


def problem_of(error: BaseException) -> Response:
    """Return the problem response of an exception. See `Problem.of`."""
    return Problem.of(error).to_response()


def log_bug(error: BaseException) -> MaskletError:
    """Log an unexpected exception with its traceback, and return it as an error that can be shown to the user."""
    _log.error("a bug in masklet", exc_info=error)
    return MaskletError("internal", f"a bug in masklet: {type(error).__name__}: {error}")


def describe_problem(error: MaskletError) -> dict[str, Any]:
    """Return an error as the `problem` of a reply or an event."""
    detail = f"{error.message}; {error.hint}" if error.hint else error.message
    return {"code": error.code, "detail": detail, "retryable": error.retryable}


def _of_http(error: HTTPException) -> Problem:
    """Return the problem of a refusal by Starlette. The connection is closed where the body was not read."""
    status = error.status_code
    headers = {"connection": "close"} if status in (408, 411, 413) else {}
    if error.headers and "Allow" in error.headers:
        headers["allow"] = error.headers["Allow"]
    detail = "" if error.detail == HTTPStatus(status).phrase else str(error.detail)
    return Problem(status, _CODES.get(status, "bad-request"), detail, headers=headers)
