"""JSON as servers write and read it: compact, strict, without NaN."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def dump_json(value: Any) -> str:
    """Return compact JSON in ASCII. NaN raises `ValueError`, because JSON has none."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def load_json(text: str) -> Any:
    """Parse JSON strictly.

    Raises:
        ValueError: `text` is not JSON, contains NaN or Infinity, is nested too deeply, or has a lone surrogate in a
            string, which cannot be written to a file.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError, a ValueError
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
