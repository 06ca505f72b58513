"""Requests to a studio: tables of the resources and commands of docs/studio-protocol.md, and malformed requests."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Arguments = dict[str, Any]

_PROTOCOL = (Path(__file__).resolve().parents[2] / "docs/studio-protocol.md").read_text()
_RANGE: Arguments = {"medium": 1, "objects": [], "start": 0, "stop": 3}

COMMANDS: dict[str, Arguments] = {
    "hello": {},
    "show": {"medium": 1, "frame": 0},
    "get_lanes": {"medium": 1},
    "predict": {"medium": 1, "frame": 0, "object": None, "points": [[10, 10, 1]], "box": None, "class": None},
    "hover": {"medium": 1, "frame": 0, "point": [10, 10], "turn": 1},
    "choose_candidate": {"medium": 1, "frame": 0, "object": 1, "candidate": 1},
    "get_polygons": {"medium": 1, "frame": 0, "object": 1, "tolerance": 1.0},
    "set_polygons": {"medium": 1, "frame": 0, "object": 1, "polygons": [[[1, 1], [9, 1], [9, 9]]]},
    "clear": _RANGE,
    "mark_absent": _RANGE,
    "accept": {**_RANGE, "accepted": True},
    "add_object": {"medium": 1, "fields": {"name": "a", "color": "#102030", "hidden": False, "attributes": {"a": "b"}}},
    "change_object": {"medium": 1, "object": 1, "fields": {"name": "b", "class": None, "locked": False}},
    "remove_objects": {"medium": 1, "objects": []},
    "copy_objects": {"medium": 1, "frame": 0, "objects": [1], "to_medium": 2, "to_frame": 0},
    "add_class": {"fields": {"name": "cat", "color": "#102030", "attributes": ["a"], "digit": 1}},
    "change_class": {"class": 1, "fields": {"digit": None}},
    "remove_class": {"class": 1},
    "change_media": {"media": [1], "fields": {"checked": True}},
    "rescan": {},
    "plan_tracking": {**_RANGE, "objects": None, "direction": "both"},
    "plan_retracking": {"medium": 1, "objects": None, "frame": 0},
    "track": {**_RANGE, "objects": None, "direction": "forward"},
    "stop_tracking": {"run": 1},
    "settle": {"medium": 1},
    "propose": {"medium": 2, "frame": 0, "class": None},
    "detect": {"medium": 2, "frame": 0, "text": "cup, plate"},
    "take_proposals": {"medium": 2, "frame": 0, "indices": [0], "class": None},
    "next_review": {"medium": 1, "frame": 0, "backward": False},
    "undo": {},
    "redo": {},
    "list_annotations": {},
    "import_annotations": {"medium": 1, "path": "/none.json"},
    "export": {"media": [2], "formats": ["coco"], "effects": []},
}
"""Valid arguments of each command of the studio's page."""

LIVE_COMMANDS: dict[str, Arguments] = {
    "hello": {},
    "predict": {"frame": 0, "object": None, "points": [[10, 10, 1]], "box": None},
    "hold": {"frame": None},
    "remove_objects": {"objects": [1]},
    "record": {"on": False},
    "stop": {},
}
"""Valid arguments of each command of a camera's page."""

OPTIONAL = {"class", "backward", "direction", "start", "stop", "objects", "frame"}
"""Arguments that some commands do without."""

RESOURCES: dict[str, tuple[str, ...]] = {
    "GET /": ("/",),
    "GET /static/<name>": ("/static/", "main.js"),
    "GET /enter?code=…": ("/enter?code=", "abc"),
    "POST /enter": ("/enter",),
    "GET /frames/<medium>/<frame>": (
        *("/frames/", "1", "/", "0"),
        *("?width=", "30", "&region=", "0,0,9,9", "&format=", "png"),
    ),
    "GET /exports/<name>.zip": ("/exports/", "a", ".zip"),
    "POST /imports/<medium>?name=FILE": ("/imports/", "2", "?name=", "a.json"),
    "GET /ws": ("/ws",),
}  # fmt: skip
"""The pieces of the path of each resource, fixed and variable ones in turn."""

_WRONG: list[Any] = [
    *(None, True, False, 0, 1, 2, 7, -1, 2**31 - 1, 2**31, 2**63, 10**300, 0.5, -0.5, 1e-300, 1e308, -1e308),
    *("", "1", "both", "\u0000", "\u202e", "x" * 4097, "../../../etc/passwd", "<script>alert(1)</script>"),
    *([], [[]], [None], [1], [1, 1], [-1], [2**40], ["a"], [0.5, 0.5], [1e300, 1e300], [[1, 2, 3]], [[[0, 0], [1, 1]]]),
    *([[0, 0, 1]] * 20, [[0, 0, 0]], [[-1, -1, 1]], [[5, 5, 2]], [0, 0, 0, 0], [9, 9, 1, 1]),
    *({}, {"a": 1}, {"name": ""}, {"name": "x" * 5000}, {"name": 1}, {"name": "\u0000"}, {"color": "red"}),
    *({"class": 99}, {"digit": 10}, {"attributes": {}}, {"attributes": []}, {"checked": None}, {"locked": 1}),
]
"""Values that are of a wrong type or out of range for most arguments."""

_HUGE: list[Any] = ["x" * 500_000, [0] * 100_001, [[0, 0, 1]] * 2000, {str(number): 1 for number in range(10_000)}]

_JUNK = [
    *("", "-1", "0", "1", "99", "1e9", "9" * 9, "9" * 30, "%00", "%0a", "%2e%2e", "..%2f..", "%ff", "%D9%A1"),
    *("a" * 4000, "null", "NaN", "[]", "'", "%22", "%3Cscript%3E", "%E2%80%AE", "a.json", "a.zip"),
    *("0,0,0,0", "0,0,999999,1"),
]  # fmt: skip
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "A" * 90]
_HEADERS = {
    "If-None-Match": ["*", '"x"', 'W/"x"', "", "\xff", "x" * 3000],
    "Range": ["bytes=0-0", "bytes=" + "0-," * 500, "bytes=-1", "x"],
    "Content-Type": ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x" * 900],
    "Accept-Encoding": ["gzip", "*;q=0"],
    "Expect": ["100-continue", "x"],
    "Cookie": ["", "a=b; " * 300, "\xff=\xfe", "=;=;"],
    "Origin": ["null", "http://evil.example", ""],
    "X-HTTP-Method-Override": ["DELETE"],
    "Forwarded": ["host=evil.example;proto=https"],
    "Content-Length": ["0", "1", "9" * 18, "+1", "-1", "1e3", "0x10"],
}  # fmt: skip
_BODIES = [
    *(b"", b"{}", b"[", b"null", b"token=x", b"\x00" * 100, b"PK\x03\x04", b"\xff\xfe{", b"[" * 5000, b"<html>"),
    *(b'{"images": [], "annotations": [], "categories": []}', b'{"images": [{"id": 1}]}'),
    *(b'{"shapes": [{"points": 1}]}', b'{"annotations": [{"segmentation": {"size": [99999, 99999], "counts": "0"}}]}'),
]  # fmt: skip


def list_documented_commands(heading: str) -> dict[str, str]:
    """Return the commands of the table below a heading of the protocol, with their arguments as text."""
    section = _PROTOCOL.split(f"{heading}\n", 1)[1].split("\n#", 1)[0].split("| message |")[0]
    rows = [row for row in section.splitlines() if row.startswith(("| `", "| binary"))]
    return {name: row.split("|")[2] for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def list_documented_resources() -> list[str]:
    """Return the resources of the protocol's table."""
    return re.findall(r"^\| `((?:GET|POST) [^`]*)` \|", _PROTOCOL, re.MULTILINE)


def break_arguments(valid: Arguments) -> Iterator[tuple[str, Arguments]]:
    """Yield a kind of fault with arguments of a command: each missing, each wrong, and one too many."""
    yield "unknown", {**valid, "unknown": 1}
    for name in valid:
        yield "missing", {other: value for other, value in valid.items() if other != name}
        for wrong in [*_WRONG, *_HUGE]:
            yield "wrong", {**valid, name: wrong}


def draw_arguments(choice: random.Random, valid: Arguments) -> Arguments:
    """Draw arguments of which some are wrong, in any combination."""
    drawn = {name: value if choice.random() < 0.6 else choice.choice(_WRONG) for name, value in valid.items()}
    for name in drawn:
        if isinstance(drawn[name], dict) and choice.random() < 0.5:
            drawn[name] = {**drawn[name], choice.choice(["name", "class", "color", "x"]): choice.choice(_WRONG)}
    return {name: value for name, value in drawn.items() if choice.random() < 0.95}


def draw_request(choice: random.Random, own_headers: dict[str, str]) -> tuple[bytes, str]:
    """Draw a request of HTTP/1.1 that is well-formed, and return its bytes and its method."""
    pieces = list(choice.choice([*RESOURCES.values(), ("/live/", "1"), ("/", "none")]))
    for position in range(1, len(pieces), 2):
        if choice.random() < 0.5:
            pieces[position] = choice.choice(_JUNK)
    if choice.random() < 0.1:
        pieces.append(choice.choice(_JUNK))
    method = choice.choice(["GET", "GET", "POST", choice.choice(_METHODS)])
    headers = dict(own_headers)
    for name in choice.sample([*_HEADERS], choice.choice([0, 0, 1, 3])):
        headers[name] = choice.choice(_HEADERS[name])
    body = choice.choice(_BODIES) if method not in ("GET", "HEAD", "TRACE") else b""
    if "Content-Length" not in headers and body:
        headers["Content-Length"] = str(len(body))
    lines = [f"{method} {''.join(pieces)} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body, method


def damage_request(choice: random.Random, request: bytes) -> bytes:
    """Return a request with damaged bytes, lines in twos, smuggled lengths, or cut off."""
    data = bytearray(request)
    kind = choice.randrange(6)
    if kind == 0:
        for _ in range(choice.choice([1, 3, 20])):
            data[choice.randrange(len(data))] = choice.randrange(256)
    elif kind == 1:
        del data[choice.randrange(len(data)) :]
    elif kind == 2:
        position = choice.randrange(len(data))
        data[position:position] = choice.randbytes(choice.choice([1, 5, 300]))
    elif kind == 3:
        smuggled = b"\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\nTransfer-Encoding : identity\r\n\r\n"
        data = data.replace(b"\r\n\r\n", choice.choice([smuggled, b"\r\nContent-Length: 3, 4\r\n\r\n", b"\n\n"]), 1)
    elif kind == 4:
        lines = bytes(data).split(b"\r\n")
        choice.shuffle(lines)
        data = bytearray(b"\r\n".join(lines))
    else:
        data *= choice.choice([2, 5])
    return bytes(data)


def list_hostile_requests(own_headers: dict[str, str]) -> dict[str, bytes]:
    """Return requests that are hostile by their size or their framing, by name."""
    own = "".join(f"{name}: {value}\r\n" for name, value in own_headers.items())
    upload = f"POST /imports/2?name=a.json HTTP/1.1\r\n{own}".encode()
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    coco = json.dumps({"images": [], "annotations": [], "categories": []}).encode()
    return {
        "65,537 chunks": upload + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 65_537 + b"0\r\n\r\n",
        "long chunk sizes": upload + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 100_000 + b"1\r\n \r\n0\r\n\r\n",
        "chunk extension": upload + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 200_000 + b"\r\n \r\n0\r\n\r\n",
        "trailers": upload + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 50_000 + b"\r\n",
        "huge chunk": upload + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc",
        "huge length": upload + b"Content-Length: 999999999999\r\n\r\nabc",
        "two lengths": upload + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "length and chunks": upload + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP\r\n",
        "no length": upload + b"\r\n" + coco,
        "1 MiB header": b"GET / HTTP/1.1\r\nA: " + b"a" * (1 << 20) + b"\r\n\r\n",
        "1 MiB of headers": b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (1 << 18) + b"\r\n",
        "1 MiB path": b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n",
        "1 MiB method": b"A" * (1 << 20),
        "1 MiB of line ends": b"\r\n" * (1 << 19),
        "folded header": f"GET / HTTP/1.1\r\n{own}A: b\r\n c\r\n\r\n".encode(),
        "null in header": f"GET / HTTP/1.1\r\n{own}A: \0\r\n\r\n".encode(),
        "two hosts": f"GET / HTTP/1.1\r\n{own}Host: localhost\r\n\r\n".encode(),
        "absolute address": f"GET http://evil.example/ HTTP/1.1\r\n{own}\r\n".encode(),
        "HTTP/0.9": b"GET /\r\n",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "HTTP/1.9": f"GET / HTTP/1.9\r\n{own}\r\n".encode(),
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        "long WebSocket address": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + own.encode() + upgrade + b"\r\n",
        "WebSocket without key": b"GET /ws HTTP/1.1\r\n" + own.encode() + upgrade + b"\r\n",
        "100 requests at once": f"GET /enter HTTP/1.1\r\n{own}\r\n".encode() * 100,
    }  # fmt: skip
