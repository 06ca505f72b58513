"""Invalid fields of requests as problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from masklet.http.problems import Problem

_MAX_ERRORS = 20


def describe_errors(errors: Iterable[Mapping[str, Any]], skip: Sequence[str] = ("body",)) -> Problem:
    """Return the problem of invalid fields.

    Args:
        errors: Errors as pydantic lists them.
        skip: Names of locations that are not part of the JSON document.
    """
    listed = [{"pointer": _point_at(one["loc"], skip), "detail": str(one["msg"])} for one in errors][:_MAX_ERRORS]
    first = listed[0]
    detail = f"{first['pointer'] or 'the body'}: {first['detail']}"
    return Problem(422, "bad-request", detail[:2000], errors=listed)


def _point_at(location: Sequence[Any], skip: Sequence[str]) -> str:
    """Return a location as a JSON pointer (RFC 6901)."""
    parts = [str(part) for part in (location[1:] if location and location[0] in skip else location)]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1")[:100] for part in parts)
