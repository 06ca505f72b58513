"""Reduction of failing inputs by removing parts of them."""

from __future__ import annotations

import time
from collections.abc import Callable

_MAX_CHECKS = 400
_MAX_S = 10.0


def reduce_input(content: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """Remove parts of an input as long as it fails alike, from halves down to single bytes, within a few seconds."""
    checks, deadline = 0, time.monotonic() + _MAX_S
    size = max(1, len(content) // 2)
    while size and checks < _MAX_CHECKS and time.monotonic() < deadline:
        position = 0
        while position < len(content) and checks < _MAX_CHECKS and time.monotonic() < deadline:
            candidate = content[:position] + content[position + size :]
            checks += 1
            if candidate and fails(candidate):
                content = candidate
            else:
                position += size
        size //= 2
    return content
