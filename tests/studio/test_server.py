"""HTTP resources of the studio, its limits, and its end."""

from __future__ import annotations

import logging
import socket
import time
from contextlib import closing

import pytest

from masklet.errors import ResourceError
from masklet.studio import app, http_protocol
from masklet.studio.connection import FrameRequest
from masklet.studio.server import Server
from support.studio import Visitor, ask, serve


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
        assert time.monotonic() - start < 5
        half_open.close()
    with serve(port=server.port) as again:
        assert Visitor(again).get("/").status == 200
        assert visitor.cookie and Visitor(again, visitor.cookie).get("/").status == 401, (
            "a cookie ends with its session"
        )
    assert capsys.readouterr().err == "" and not [r for r in caplog.records if r.levelno > logging.INFO]
