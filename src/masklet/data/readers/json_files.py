"""JSON files of data sets, read so that a fault names the file and the place in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from masklet.errors import FormatError
from masklet.files.open_input import open_input


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


@contextmanager
def reading(name: object) -> Iterator[None]:
    """Turns a missing or odd entry of JSON from a file called `name` into `FormatError`."""
    try:
        yield
    except FormatError as fault:
        if str(name) in fault.message:
            raise
        raise FormatError(fault.code, f"{name}: {fault.message}", path=str(name)) from fault
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as cause:
        what = f"no {cause}" if isinstance(cause, KeyError) else str(cause)
        raise FormatError(
            "dataset-broken", f"{name}: its entries are not as expected ({what})", path=str(name)
        ) from cause
