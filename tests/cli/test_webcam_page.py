"""The webcam page: its requests and access control, and that no client blocks the session."""

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

from masklet.cli.webcam_page import MAX_WIDTH, Click, Page, Removal
from masklet.errors import ResourceError


@pytest.fixture
def page() -> Iterator[Page]:
    page = Page()
    yield page
    page.close()


def request(page: Page, method: str, place: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a response; `place` is relative to the page, or a path with a slash."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=5)
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    path = place if place.startswith("/") else f"/{page.secret}/{place}"
    connection.request(method, path, content, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    result = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return result


CLICK = {"x": 0.25, "y": 0.5, "positive": True, "object": None}


def test_the_page_is_served_and_runs_only_its_own_script(page: Page) -> None:
    status, headers, body = request(page, "GET", "")
    assert status == 200 and b"<title>masklet webcam" in body and b"NONCE" not in body
    nonce = headers["Content-Security-Policy"].split("'nonce-")[1].split("'")[0]
    assert f'<script nonce="{nonce}">'.encode() in body


def test_clicks_and_removals_come_in_order_and_once(page: Page) -> None:
    assert request(page, "POST", "click", CLICK)[0] == 200
    assert request(page, "POST", "click", {**CLICK, "positive": False, "object": 3})[0] == 200
    assert request(page, "POST", "remove", {"object": 3})[0] == 200
    assert page.take_actions() == [Click(0.25, 0.5, True, None), Click(0.25, 0.5, False, 3), Removal(3)]
    assert page.take_actions() == [] and not page.stopped
    request(page, "POST", "stop", {})
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
def test_an_invalid_removal_is_refused(body: bytes, page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    assert request(page, "POST", "remove", body)[0] == 400
    assert page.take_actions() == [] and capsys.readouterr().err == ""


def test_a_client_that_disconnects_prints_nothing(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    page.show(np.zeros((48, 64, 3), np.uint8), {"line": "x" * 10_000_000, "objects": [], "message": ""})
    visitor = socket.create_connection(("127.0.0.1", page.port))
    visitor.sendall(f"GET /{page.secret}/status HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode())
    visitor.recv(10)
    visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes with a reset
    visitor.close()
    assert request(page, "GET", "")[0] == 200
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("path", ["/", "/status", "/stream", "/wrong/status", "/%2e%2e/status", "//", "/x/../status"])
def test_a_wrong_secret_is_not_found(path: str, page: Page) -> None:
    assert request(page, "GET", path)[0] == 404
    assert request(page, "POST", path, CLICK)[0] == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1.evil.example:{port}", ""]
)
def test_another_host_is_not_found(host: str, page: Page) -> None:
    assert request(page, "GET", "status", Host=host.format(port=page.port))[0] == 404


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1"])
def test_another_origin_is_forbidden(origin: str, page: Page) -> None:
    assert request(page, "POST", "click", CLICK, Origin=origin.format(port=page.port))[0] == 403
    assert page.take_actions() == []


def test_the_own_origin_is_allowed(page: Page) -> None:
    assert request(page, "POST", "click", CLICK, Origin=f"http://127.0.0.1:{page.port}")[0] == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", {"x": 2, "y": 0, "positive": True}, {"x": "a", "y": 0, "positive": 1}, {"x": 0.5},
             {**CLICK, "object": "one"}, {**CLICK, "x": float("nan")}],
)  # fmt: skip
def test_an_invalid_click_is_refused(body: Any, page: Page) -> None:
    assert request(page, "POST", "click", body)[0] == 400
    assert page.take_actions() == []


def test_a_body_that_is_too_large_is_not_read(page: Page) -> None:
    assert request(page, "POST", "click", b" " * 5000)[0] == 413
    assert request(page, "PUT", "click", CLICK)[0] == 501


def test_the_latest_frame_is_streamed_and_wide_frames_are_reduced(page: Page) -> None:
    import cv2

    page.show(np.full((40, 2 * MAX_WIDTH, 3), (250, 10, 20), np.uint8), {"line": "x", "objects": [], "message": ""})
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=5)
    connection.request("GET", f"/{page.secret}/stream")
    response = connection.getresponse()
    assert response.getheader("Content-Type", "").startswith("multipart/x-mixed-replace")
    head = [response.fp.readline() for _ in range(4)]
    shown = cv2.imdecode(np.frombuffer(response.fp.read(int(head[2].split(b":")[1])), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (20, MAX_WIDTH, 3) and abs(shown.mean(axis=(0, 1)) - (20, 10, 250)).max() < 8
    connection.close()


def test_a_client_that_reads_nothing_does_not_block(page: Page) -> None:
    stalled = socket.create_connection(("127.0.0.1", page.port), timeout=5)
    stalled.sendall(f"GET /{page.secret}/stream HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode())
    image = np.random.RandomState(0).randint(0, 255, (720, 1280, 3), np.uint8)
    start = time.monotonic()
    for _ in range(10):
        page.show(image, {"line": "", "objects": [], "message": ""})
    assert request(page, "GET", "status")[0] == 200
    page.close()
    assert time.monotonic() - start < 4
    stalled.close()


def test_a_port_that_is_taken_is_an_error(page: Page) -> None:
    with pytest.raises(ResourceError, match="another --port") as caught:
        Page(page.port)
    assert (caught.value.code, caught.value.exit_status) == ("port-taken", 69)
