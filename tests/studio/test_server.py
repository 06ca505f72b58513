"""HTTP resources of the studio, its limits, and its end."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from importlib.metadata import version

import pytest

from masklet.errors import ResourceError
from masklet.http import http_protocol, request_body
from masklet.studio import app
from masklet.studio.connection import Client, Content, FrameRequest
from masklet.studio.server import Server
from support.studio import RecordedCommands, Visitor, ask, serve

REFUSED_METHOD = 405 if int(version("websockets").split(".")[0]) >= 17 else 400
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def test_the_page_and_its_files_are_served(visitor: Visitor) -> None:
    page = visitor.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8" and page.body.startswith(b"<!doctype html>")
    script = visitor.get("/static/connection.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert visitor.get("/static/connection.js", If_None_Match=script.headers["etag"]).status == 304
    assert visitor.request("HEAD", "/").body == b""


@pytest.mark.parametrize(
    "path",
    ["/none", "/static/", "/static/none.js", "/static/../server.py", "/static/%2e%2e/server.py", "//",
     "/static/..%2fserver.py", "/static//etc/passwd", "/static/%2Fetc%2Fpasswd", "/static/none.json",
     "/static/.hidden.js", "/static/panels", "/static/a\\..\\server.py", "/static/index.html/",
     "/static/index.html%00.js", "/frames/1", "/frames/1/0/", "/frames/1/404", "/exports/..zip", "/exports/a",
     "/exports/.hidden.zip", "/exports/a%2fb.zip", "/exports/missing.zip"],
)  # fmt: skip
def test_what_is_not_a_resource_is_not_found(path: str, visitor: Visitor) -> None:
    response = visitor.get(path)
    assert (response.status, response.code in ("not-found", "input-not-found", "unknown-frame")) == (404, True)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", "/", "GET, HEAD"), ("DELETE", "/frames/1/0", "GET, HEAD"), ("GET", "/imports/1", "POST"),
     ("PUT", "/enter", "GET, HEAD, POST"), ("OPTIONS", "/static/index.html", "GET, HEAD"), ("TRACE", "/", "GET, HEAD")],
)  # fmt: skip
def test_other_methods_are_refused(method: str, path: str, allowed: str, visitor: Visitor) -> None:
    response = visitor.request(method, path)
    assert (response.status, response.code) == (405, "method-not-allowed")
    assert ", ".join(sorted(response.headers["allow"].split(", "))) == allowed


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        ("/frames/3/17", FrameRequest(3, 17)),
        ("/frames/1/0?width=640&format=png", FrameRequest(1, 0, 640, None, "png")),
        ("/frames/1/0?region=0,10,200,300", FrameRequest(1, 0, None, (0, 10, 200, 300))),
    ],
)
def test_frames_are_served(path: str, request_: FrameRequest, visitor: Visitor) -> None:
    response = visitor.get(path)
    assert response.body.decode() == repr(tuple(request_))
    assert response.headers["content-type"] == f"image/{request_.format}"
    assert visitor.get(path, If_None_Match=response.headers["etag"]).status == 304
    assert visitor.get("/frames/1/1", If_None_Match=response.headers["etag"]).status == 200


@pytest.mark.parametrize(
    "path",
    ["/frames/-1/0", "/frames/a/0", "/frames/1/1e3", "/frames/1/9999999999", "/frames/1/0?width=",
     "/frames/1/0?width=-5", "/frames/1/0?region=1,2,3", "/frames/1/0?region=a,b,c,d", "/frames/1/0?format=webp",
     "/frames/%D9%A1/0"],
)  # fmt: skip
def test_a_malformed_request_for_a_frame_is_refused(path: str, visitor: Visitor) -> None:
    response = visitor.get(path)
    assert (response.status, response.code) == (400, "bad-request")


def test_an_export_is_an_archive(visitor: Visitor) -> None:
    response = visitor.get("/exports/2026-11-30_coco.zip")
    assert response.body == b"2026-11-30_coco!"
    assert response.headers["content-disposition"] == 'attachment; filename="2026-11-30_coco.zip"'


def test_annotations_are_read_from_the_body(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    response = visitor.request("POST", "/imports/2?name=cat%20%C3%BC.json", b"x" * 1000)
    assert response.body == '{"medium":2,"name":"cat ü.json","length":1000}'.encode()
    monkeypatch.setattr(app, "MAX_IMPORT_BYTES", 999)
    assert visitor.request("POST", "/imports/2?name=a.json", b"x" * 1000).code == "body-too-large"
    chunked = visitor.request("POST", "/imports/2?name=a.json", iter([b"x" * 500] * 2))
    assert (chunked.status, chunked.code) == (413, "body-too-large")


@pytest.mark.parametrize("name", ["", "..%2Fa", "a%5Cb", "a%0Ab", "a" * 256])
def test_the_name_of_an_import_has_no_folder(name: str, visitor: Visitor) -> None:
    assert visitor.request("POST", f"/imports/2?name={name}", b"").code == "bad-request"


def exchange(port: int, data: bytes) -> tuple[int, dict[str, object]]:
    """Send bytes, and return the status and the problem of the response, after which the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as raw:
        raw.sendall(data)
        received = b""
        while part := raw.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [("GET /" + "a" * 9000, "", 400), ("GET /ws", "A: b\r\n" * 200, 400), ("GET /ws", f"A: {'b' * 9000}\r\n", 400),
     ("GET /ws", "Content-Length: 3\r\n", 400), ("GET /ws", "Transfer-Encoding: chunked\r\n", 400),
     ("POST /ws", "", REFUSED_METHOD), ("GET /ws", "Sec-WebSocket-Version: 8\r\n", 400), ("GET /enter", "", 404),
     ("GET /frames/1/0", "", 404), ("GET /live/9/ws", "", 404)],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)  # fmt: skip
def test_a_handshake_that_cannot_succeed_is_refused_at_once(
    line: str, headers: str, status: int, server: Server, visitor: Visitor
) -> None:
    """Else any web page could take all connections with WebSockets to a long address."""
    own = f"Host: 127.0.0.1:{visitor.port}\r\nCookie: {visitor.cookie}\r\n"
    found, body = exchange(visitor.port, f"{line} HTTP/1.1\r\n{own}{UPGRADE}{headers}\r\n".encode())
    assert (found, body["status"]) == (status, status)


def test_the_refusal_of_what_is_not_http_is_a_problem(server: Server) -> None:
    for data in (b"GET\r\n\r\n", b"G\x00T / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        status, body = exchange(server.port, data)
        assert (status, body["code"]) == (400, "bad-request")


def test_a_body_that_goes_wrong_after_the_response_ends_the_connection(
    visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    head = f"POST /none HTTP/1.1\r\nHost: localhost\r\nCookie: masklet-80={visitor.cookie.partition('=')[2]}\r\n"
    with socket.create_connection(("127.0.0.1", visitor.port), timeout=60) as raw:
        raw.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        received = b""
        while not received.endswith(b"}"):
            received += raw.recv(4096)
        assert received.startswith(b"HTTP/1.1 404")
        raw.sendall(b"no chunk\r\n")
        assert raw.recv(4096) == b""
    assert not caplog.records


def begin_import(visitor: Visitor, rest: bytes) -> bytes:
    """Send a part of an import, and return the response, after which the connection is closed."""
    head = f"POST /imports/1?name=a.json HTTP/1.1\r\nHost: 127.0.0.1:{visitor.port}\r\nCookie: {visitor.cookie}\r\n"
    with socket.create_connection(("127.0.0.1", visitor.port), timeout=60) as raw:
        raw.sendall(head.encode() + rest)
        return b"".join(iter(lambda: raw.recv(4096), b""))


def test_a_client_that_disconnects_while_it_sends_is_no_bug(visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    response = begin_import(visitor, b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nno chunk\r\n")
    assert response.startswith(b"HTTP/1.1 400") and visitor.get("/").status == 200
    assert not caplog.records


def test_a_body_that_does_not_arrive_is_not_waited_for(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "BODY_TIMEOUT_S", 0.2)
    response = begin_import(visitor, b"Content-Length: 9\r\n\r\nabc")
    assert response.startswith(b"HTTP/1.1 408") and b'"code":"too-slow"' in response


class LargeResources(RecordedCommands):
    """A frame and an export of 8 MiB."""

    def frame(self, request: FrameRequest) -> Content:
        """Return zeros at once."""
        return Content(bytes(8 << 20), "image/png")

    def export(self, name: str) -> Content:
        """Return zeros in pieces of a mebibyte."""
        return Content(iter([bytes(1 << 20)] * 8), "application/zip")


@pytest.fixture
def start_download(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], socket.socket]]:
    """A function that requests a resource of 8 MiB from a server that waits 1.4 s, and returns the connection."""
    monkeypatch.setattr(http_protocol, "_REQUEST_TIMEOUT_S", 0.2)
    monkeypatch.setattr("support.studio.RecordedCommands", LargeResources)
    with serve() as server, socket.socket() as raw:
        visitor = Visitor(server)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        raw.settimeout(60)
        raw.connect(("127.0.0.1", server.port))

        def start(path: str) -> socket.socket:
            own = f"Host: 127.0.0.1:{server.port}\r\nCookie: {visitor.cookie}\r\n"
            raw.sendall(f"GET {path} HTTP/1.1\r\n{own}\r\n".encode())
            return raw

        yield start


def test_a_download_to_a_slow_client_is_not_cut_off(start_download: Callable[[str], socket.socket]) -> None:
    download = start_download("/frames/1/0")
    received = 0
    while received < 8 << 20:
        goal = received + (1 << 18)
        while received < min(goal, 8 << 20):
            part = download.recv(1 << 16)
            assert part, "the download is cut off"
            received += len(part)
        time.sleep(0.05)


def test_a_client_that_does_not_read_a_download_is_disconnected(
    start_download: Callable[[str], socket.socket],
) -> None:
    download = start_download("/exports/a.zip")
    time.sleep(2)
    received = 0
    with suppress(ConnectionResetError):
        while part := download.recv(1 << 20):
            received += len(part)
            assert received < 8 << 20


def test_a_request_that_is_not_http_is_refused(server: Server) -> None:
    for data in (b"\x16\x03\x01\x02\x00\x01\n\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
            raw.sendall(data)
            assert raw.recv(100)[:12] in (b"HTTP/1.1 400", b"")


def test_a_request_with_two_hosts_is_refused(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert raw.recv(100).split()[1] in (b"400", b"421")


def test_connections_without_a_request_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "_REQUEST_TIMEOUT_S", 1.0)
    with serve() as server, Visitor(server).connect() as open_socket:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as silent:
            silent.sendall(b"GET / HT")
            assert silent.recv(1) == b""
        open_socket.send('{"id": 1, "command": "hello"}')
        assert open_socket.recv(timeout=60), "a WebSocket stays open"


def test_connections_without_a_further_request_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "_REQUEST_TIMEOUT_S", 1.0)
    with serve() as server, socket.create_connection(("127.0.0.1", server.port), timeout=60) as silent:
        for _ in range(2):  # the second one shows that the connection stays open after the first
            silent.sendall(b"HEAD /enter HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert silent.recv(4096).startswith(b"HTTP/1.1 401")
        silent.sendall(b"GET / HT")
        assert silent.recv(1) == b""


def test_the_number_of_connections_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "MAX_CONNECTIONS", 3)
    with serve() as server:
        held = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(3)]
        with closing(socket.create_connection(("127.0.0.1", server.port), timeout=60)) as fourth:
            assert fourth.recv(1) == b""
        for one in held:
            one.close()


def test_a_port_that_is_taken_is_an_error(server: Server) -> None:
    with pytest.raises(ResourceError, match="choose another --port") as caught, serve(port=server.port):
        pass
    assert (caught.value.code, caught.value.exit_status) == ("port-taken", 69)


def test_clients_get_the_closing_event_although_the_server_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    next_message = Client.next_message

    async def wait_and_take(client: Client) -> str | bytes | int:
        message = await next_message(client)
        await asyncio.sleep(0.2)
        return message

    monkeypatch.setattr(Client, "next_message", wait_and_take)
    with serve() as server, Visitor(server).connect() as client:
        ask(client, "hello")
        server.close()
        assert client.recv(timeout=60) == '{"event":"closing"}'


def test_the_server_ends_although_clients_are_connected_and_its_port_is_free_again(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve() as server:
        visitor = Visitor(server)
        half_open = socket.create_connection(("127.0.0.1", server.port))
        with visitor.connect() as client:
            ask(client, "hello")
            start = time.monotonic()
            server.close()
            assert client.recv(timeout=60) == '{"event":"closing"}'
        assert time.monotonic() - start < 50
        half_open.close()
    with serve(port=server.port) as again:
        assert Visitor(again).get("/").status == 200
        assert visitor.cookie and Visitor(again, visitor.cookie).get("/").status == 401, (
            "a cookie ends with its session"
        )
    assert capsys.readouterr().err == "" and not [r for r in caplog.records if r.levelno > logging.INFO]
