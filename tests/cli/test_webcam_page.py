"""The page of a live picture: who reaches it, who does not, and that it never keeps the program waiting."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from masklet.cli.webcam_page import WIDEST, Clicked, Page, Removed
from masklet.errors import ResourceError


@pytest.fixture
def page() -> Iterator[Page]:
    page = Page()
    yield page
    page.close()


def ask(page: Page, method: str, place: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer; `place` is within the page, or a path with its slash."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=5)
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    path = place if place.startswith("/") else f"/{page.secret}/{place}"
    connection.request(method, path, content, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    told = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return told


CLICK = {"x": 0.25, "y": 0.5, "positive": True, "object": None}


def test_the_page_is_served_and_runs_only_its_own_script(page: Page) -> None:
    status, headers, body = ask(page, "GET", "")
    assert status == 200 and b"<title>masklet webcam" in body and b"NONCE" not in body
    nonce = headers["Content-Security-Policy"].split("'nonce-")[1].split("'")[0]
    assert f'<script nonce="{nonce}">'.encode() in body


def test_clicks_and_removals_come_in_order_and_once(page: Page) -> None:
    assert ask(page, "POST", "click", CLICK)[0] == 200
    assert ask(page, "POST", "click", {**CLICK, "positive": False, "object": 3})[0] == 200
    assert ask(page, "POST", "remove", {"object": 3})[0] == 200
    assert page.asked() == [Clicked(0.25, 0.5, True, None), Clicked(0.25, 0.5, False, 3), Removed(3)]
    assert page.asked() == [] and not page.stopped
    ask(page, "POST", "stop", {})
    assert page.stopped


@pytest.mark.parametrize(
    "body",
    [
        b'{"object": Infinity}',
        b"[" * 4000,
        b'{"object": NaN}',
        b'{"object": "one"}',
        b"{}",
        b"[]",
        b"\xff\xfe",
    ],
)
def test_what_makes_no_sense_is_refused(body: bytes, page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(page, "POST", "remove", body)[0] == 400
    assert page.asked() == [] and capsys.readouterr().err == ""


def test_whoever_hangs_up_leaves_the_terminal_alone(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    page.show(np.zeros((48, 64, 3), np.uint8), {"line": "x" * 10_000_000, "objects": [], "message": ""})
    visitor = socket.create_connection(("127.0.0.1", page.port))
    visitor.sendall(f"GET /{page.secret}/status HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode())
    visitor.recv(10)
    visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # goes without a good-bye
    visitor.close()
    assert ask(page, "GET", "")[0] == 200
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("path", ["/", "/status", "/stream", "/wrong/status", "/%2e%2e/status", "//", "/x/../status"])
def test_who_does_not_know_the_secret_finds_nothing(path: str, page: Page) -> None:
    assert ask(page, "GET", path)[0] == 404
    assert ask(page, "POST", path, CLICK)[0] == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1.evil.example:{port}", ""]
)
def test_another_machines_name_finds_nothing(host: str, page: Page) -> None:
    assert ask(page, "GET", "status", Host=host.format(port=page.port))[0] == 404


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1"])
def test_another_page_cannot_click(origin: str, page: Page) -> None:
    assert ask(page, "POST", "click", CLICK, Origin=origin.format(port=page.port))[0] == 403
    assert page.asked() == []


def test_its_own_page_can_click(page: Page) -> None:
    assert ask(page, "POST", "click", CLICK, Origin=f"http://127.0.0.1:{page.port}")[0] == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", {"x": 2, "y": 0, "positive": True}, {"x": "a", "y": 0, "positive": 1}, {"x": 0.5},
             {**CLICK, "object": "one"}, {**CLICK, "x": float("nan")}],
)  # fmt: skip
def test_what_is_no_click_is_refused(body: Any, page: Page) -> None:
    assert ask(page, "POST", "click", body)[0] == 400
    assert page.asked() == []


def test_a_body_that_is_too_large_is_not_read(page: Page) -> None:
    assert ask(page, "POST", "click", b" " * 5000)[0] == 413
    assert ask(page, "PUT", "click", CLICK)[0] == 501


def test_the_latest_picture_is_streamed_and_large_ones_are_reduced(page: Page) -> None:
    import cv2

    page.show(np.full((40, 2 * WIDEST, 3), (250, 10, 20), np.uint8), {"line": "x", "objects": [], "message": ""})
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=5)
    connection.request("GET", f"/{page.secret}/stream")
    answer = connection.getresponse()
    assert answer.getheader("Content-Type", "").startswith("multipart/x-mixed-replace")
    head = [answer.fp.readline() for _ in range(4)]
    shown = cv2.imdecode(np.frombuffer(answer.fp.read(int(head[2].split(b":")[1])), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (20, WIDEST, 3) and abs(shown.mean(axis=(0, 1)) - (20, 10, 250)).max() < 8
    connection.close()


def test_a_visitor_that_reads_nothing_keeps_nobody_waiting(page: Page) -> None:
    stalled = socket.create_connection(("127.0.0.1", page.port), timeout=5)
    stalled.sendall(f"GET /{page.secret}/stream HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode())
    picture = np.random.RandomState(0).randint(0, 255, (720, 1280, 3), np.uint8)
    start = time.monotonic()
    for _ in range(10):
        page.show(picture, {"line": "", "objects": [], "message": ""})
    assert ask(page, "GET", "status")[0] == 200
    page.close()
    assert time.monotonic() - start < 4
    stalled.close()


def test_a_taken_port_is_told(page: Page) -> None:
    with pytest.raises(ResourceError, match="another --port") as caught:
        Page(page.port)
    assert (caught.value.code, caught.value.exit_status) == ("port-taken", 69)
