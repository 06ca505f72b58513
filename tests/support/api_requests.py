"""Requests to the API of `masklet serve`: a table of its operations, and malformed requests."""

from __future__ import annotations

import json
import random
from typing import Any

from support.studio_requests import break_arguments, draw_arguments

Record = dict[str, Any]

_OBJECTS = [{"points": [[15, 10]], "labels": [1]}]

JSON_OPERATIONS: dict[str, Record] = {
    "POST /v1/predict": {"image": "KEY", "objects": _OBJECTS, "multimask": False, "output": "rle"},
    "POST /v1/generate": {"image": "KEY", "options": {"points_per_side": 4}, "output": "none"},
    "POST /v1/videos/open": {"path": "clip"},
    "POST /v1/videos/SESSION/prompts": {"frame": 0, "objects": _OBJECTS, "output": "polygons"},
    "POST /v1/videos/SESSION/propagate": {"start": 0, "stop": 3, "direction": "forward", "output": "none"},
}
"""Valid bodies of each operation with JSON."""

OTHER_OPERATIONS = (
    *("POST /v1/images", "POST /v1/images?embed=false", "GET /v1/images/KEY", "GET /v1/model", "GET /v1/limits"),
    *("POST /v1/videos", "POST /v1/videos/frames", "GET /v1/videos/SESSION", "POST /v1/videos/SESSION/cancel"),
    *("GET /v1/videos/SESSION/frames/0?output=none", "DELETE /v1/videos/SESSION/objects/9"),
    *("DELETE /v1/videos/SESSION/prompts/0/9", "DELETE /v1/videos/none", "GET /v1/ws", "GET /openapi.json"),
    *("GET /health/live", "GET /health/ready", "GET /metrics"),
)
"""Operations without a body of JSON."""

SOCKET_OPERATIONS: dict[str, Record] = {
    "predict": JSON_OPERATIONS["POST /v1/predict"],
    "generate": JSON_OPERATIONS["POST /v1/generate"],
    "session": {"session": "SESSION"},
    "prompt": {"session": "SESSION", **JSON_OPERATIONS["POST /v1/videos/SESSION/prompts"]},
    "propagate": {"session": "SESSION", **JSON_OPERATIONS["POST /v1/videos/SESSION/propagate"]},
    "cancel": {"session": "SESSION"},
    "remove_object": {"session": "SESSION", "object": 9},
}
"""Valid fields of each operation of the WebSocket, but `delete`."""

_WRONG_OBJECTS: list[Any] = [
    *([], [{}], [None], ["x"], [{"points": []}], [{"points": [[1]]}], [{"points": [[1e300, 1]]}]),
    [{"box": [9, 9, 1, 1]}],
    *([{"points": [[1, 1]], "labels": [2]}], [{"points": [[1, 1]], "labels": []}], [{"mask": "x"}], [{"id": 10**30}]),
    *([{"mask": {"size": [40, 60], "counts": "x"}}], [{"mask": {"size": [10**9, 10**9], "counts": [1]}}]),
    *([{"mask": {"size": [1, 1], "counts": [1]}}], [{"absent": True}], [{"label": "\n", "box": [1, 1, 9, 9]}]),
    *([{"points": [[1, 1]]}] * 300, [{"points": [[1, 1]] * 1001}], [{"box": [1, 1, 9, 9], "unknown": 1}]),
    *([{"id": 1, "box": [1, 1, 9, 9]}] * 2, [{"box": ["1", "1", "9", "9"]}], [{"mask": ""}], [{"mask": "data:,x"}]),
]  # fmt: skip
_BODIES = [
    *(
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff",
        b"[" * 100_000,
        b'{"a":' * 5000,
        b"NaN",
        b'{"image": NaN}',
        bytes(99),
    ),
    *(b"\x89PNG\r\n\x1a\n", b"--x\r\n\r\n--x--", b"RIFF" + bytes(50), b'{"image": "\\ud800"}', b"<html>", b"II*\0"),
]
_TYPES = [
    "application/json",
    "image/png",
    "text/plain",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "x",
    "",
]


def fill(value: Any, names: dict[str, str]) -> Any:
    """Replace `KEY` and `SESSION` in a value by those of a server."""
    for name, text in names.items():
        value = json.loads(json.dumps(value).replace(name, text))
    return value


def list_broken(valid: Record) -> list[Record]:
    """Return bodies of which each has one fault."""
    broken = [record for _, record in break_arguments(valid)]
    if "objects" in valid:
        broken += [{**valid, "objects": wrong} for wrong in _WRONG_OBJECTS]
    return broken


def draw(choice: random.Random, names: dict[str, str], headers: dict[str, str]) -> tuple[bytes, str]:
    """Draw a request of HTTP/1.1, which may be wrong in any way, and return its bytes and its method."""
    name = choice.choice([*JSON_OPERATIONS, *OTHER_OPERATIONS])
    method, path = fill(name, names).split(" ")
    kind = "application/json"
    if name in JSON_OPERATIONS and choice.random() < 0.7:
        body = json.dumps(fill(draw_arguments(choice, JSON_OPERATIONS[name]), names)).encode()
    else:
        body, kind = choice.choice(_BODIES), choice.choice(_TYPES)
    if choice.random() < 0.1:
        method = choice.choice(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "A" * 90])
    if choice.random() < 0.1:
        path += choice.choice(["/", "/..", "%00", "%2e%2e", "/" + "a" * 4000, "?output=x", "?embed=x", "%ff", "//"])
    body = b"" if method in ("GET", "HEAD", "TRACE") else body
    lines = [f"{method} {path} HTTP/1.1", *(f"{key}: {value}" for key, value in headers.items())]
    lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body, method
