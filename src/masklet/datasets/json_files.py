"""JSON files of data sets, read so that a fault names the file and the place in it."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from masklet.errors import FormatError
from masklet.files.open_input import open_input
from masklet.files.translate import translate_errors


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises `InputNotFound`, and `FormatError` for anything but an object."""
    with open_input(path) as handle:
        return parse_json(handle.read(), path)


def parse_json(text: bytes, name: object) -> dict[str, Any]:
    """The object in JSON text, called `name` in messages."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise FormatError("dataset-broken", f"{name}: not JSON ({cause})", path=str(name)) from cause
    if not isinstance(content, dict):
        raise FormatError("dataset-broken", f"{name}: expected a JSON object, got a {type(content).__name__}")
    return content


def reading(name: object) -> AbstractContextManager[None]:
    """Turns a missing or odd entry of JSON from a file called `name` into `FormatError`."""
    kinds = (FormatError, KeyError, IndexError, TypeError, ValueError, AttributeError)
    return translate_errors(*kinds, into=partial(_json_error, str(name)))


def _json_error(name: str, cause: Exception) -> FormatError:
    if isinstance(cause, FormatError):
        return cause if name in cause.message else FormatError(cause.code, f"{name}: {cause.message}", path=name)
    what = f"no {cause}" if isinstance(cause, KeyError) else str(cause)
    return FormatError("dataset-broken", f"{name}: its entries are not as expected ({what})", path=name)
