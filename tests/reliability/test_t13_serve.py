"""T13 of `masklet serve`: hosts, origins, paths, links and addresses, for the API and the protocols of tools.

Nothing is accepted, and the server connects to nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest
from test_t13_web_attacks import (
    ALLOWED_HOSTS,
    CANARY,
    METHODS,
    REFUSED_HOSTS,
    REFUSED_ORIGINS,
    draw_traversals,
    list_traversals,
)

from masklet.serve.protocols import PROTOCOLS, load_protocol
from support.api_server import TOKEN, ApiProcess, encode_png
from support.measured_process import report

PREFIXES = tuple(load_protocol(name).PREFIX for name in PROTOCOLS)
PATHS = ("/v1/model", "/v1/predict", "/v1/videos/x", "/v1/ws", "/openapi.json", "/metrics", "/none", *PREFIXES)
ADDRESSES = (
    *("http://127.0.0.1/", "http://localhost:{}/health/live", "http://[::1]:{}/", "http://0.0.0.0/", "http://2130706433/"),
    *("http://0x7f.1/", "http://017700000001/", "http://127.1/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/"),
    *("http://169.254.169.254/latest/meta-data/", "http://metadata.google.internal/", "http://10.0.0.1/", "http://[fe80::1]/"),
    *("https://192.168.0.1/a.mp4", "http://evil.example/a.mp4", "http://evil.example:80/", "http://user:pass@127.0.0.1/"),
    *("file:///etc/passwd", "FILE:///etc/passwd", "ftp://evil.example/", "gopher://127.0.0.1:25/_x", "dict://127.0.0.1:1/"),
    *("data:video/mp4;base64,AAAA", "concat:/etc/passwd|/etc/group", "subfile,,start,0,end,9,,:/etc/passwd", "rtsp://a/"),
    *("//evil.example/a.mp4", "http:/evil.example", "http://", "http:///a", "http://evil.example\r\nHost: a/", "http://\0/"),
    *("http://127.0.0.1:99999/", "http://127.0.0.1:-1/", "http://[::1", "http://①②⑦.0.0.1/", "jar:http://a!/", "tcp://a:1"),
    *("http://evil.example\\@127.0.0.1/", "http://127.0.0.1#@evil.example/", "unix:///run/docker.sock", "ws://127.0.0.1/"),
)  # fmt: skip


def send(server: ApiProcess, method: str, path: str, **headers: str) -> tuple[int, str, bytes]:
    """Send a request or a handshake, and return the status, the code of a problem, and the body of the response."""
    own = {"Host": f"127.0.0.1:{server.port}", "Authorization": f"Bearer {TOKEN}", **headers}
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.putrequest("GET" if method == "WS" else method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in own.items():
            if value:
                connection.putheader(name, value.encode("latin-1"))
        if method == "WS":
            handshake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
            for name, value in {**handshake, "Sec-WebSocket-Key": "A" * 22 + "=="}.items():
                connection.putheader(name, value)
        connection.endheaders(b"" if method == "POST" else None)
        response = connection.getresponse()
        if response.status == 101:
            return 101, "", b""
        body = response.read()
        assert not response.headers["Access-Control-Allow-Origin"]
        is_problem = response.headers.get_content_type() == "application/problem+json"
        return response.status, json.loads(body)["code"] if is_problem else "", body


def is_refusal(body: bytes) -> bool:
    """Return whether a body is a refusal of X-AnyLabeling-Server, whose errors have status 200."""
    return b'"success":false' in body


def check_hosts(server: ApiProcess, paths: tuple[str, ...]) -> int:
    """Send every host to every path with every method, and return the number of requests."""
    requests = [(method, path) for path in paths for method in METHODS]
    for host in filter(None, REFUSED_HOSTS):
        for method, path in requests:
            status, _, body = send(server, method, path, Host=host.format(server.port))
            assert status == 421 or is_refusal(body) or (status == 400 and not host.isascii()), (host, method, path)
    for host in ALLOWED_HOSTS:
        name = host.format(server.port)
        assert send(server, "GET", "/v1/model", Host=name, Origin=f"http://{name}")[0] == 200, host
        assert send(server, "WS", "/v1/ws", Host=name, Origin=f"https://{name}")[0] == 101, host
    return len(REFUSED_HOSTS) * len(requests)


def check_origins(server: ApiProcess, paths: tuple[str, ...]) -> int:
    """Send every origin to every path with every method, with the token and without it."""
    requests = [(method, path, token) for path in paths for method in METHODS for token in (f"Bearer {TOKEN}", "")]
    for origin in REFUSED_ORIGINS:
        if origin.lower() == "https://127.0.0.1:{}":  # its own, of a proxy that ends TLS
            continue
        for method, path, token in filter(None, requests):
            own = {"Origin": origin.format(server.port) or "null", "Authorization": token}
            status, _, body = send(server, method, path, **own)
            assert status == 403 or is_refusal(body) or (status == 400 and "\x01" in origin), (origin, method, path)
    for path in paths:
        for given, token in ((path, ""), (path, f"Bearer x{TOKEN}"), (f"{path}?token={TOKEN}", "")):
            status, _, body = send(server, "GET", given, Authorization=token)
            assert status == 401 or is_refusal(body), given
    assert send(server, "GET", "/v1/model", **{"Sec-Fetch-Site": "cross-site"})[1] == "origin-refused"
    return len(REFUSED_ORIGINS) * len(requests)


def check_paths(server: ApiProcess, paths: list[str]) -> int:
    """Request paths out of the folder, as addresses and as names of videos."""
    resources = (
        "/v1/images/{}",
        "/v1/videos/{}",
        "/v1/videos/{}/frames/0",
        "/{}",
        *(f"{one}/{{}}" for one in PREFIXES),
    )
    for path in paths:
        for resource in resources:
            status, _, body = send(server, "GET", resource.format(path).replace(" ", "%20"))
            assert status in (400, 404, 405, 410) or is_refusal(body), (resource, path, status, body[:300])
            assert CANARY.encode() not in body and b"root:" not in body
        response = server.client.post("/v1/videos/open", {"path": path})
        assert response.code == "input-not-found" and CANARY.encode() not in response.body, path
    return len(paths) * (len(resources) + 1)


def check_addresses(server: ApiProcess) -> int:
    """Name addresses as videos. The process writes connections to stderr, which the fixture reads."""
    for address in ADDRESSES:
        response = server.client.post("/v1/videos/open", {"url": address.format(server.port)})
        assert response.code == "url-refused", address
    return len(ADDRESSES)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """A server with links in its folder, which must have no bug and no connection at the end."""
    folder = tmp_path_factory.mktemp("serve")
    (folder / "secret.txt").write_text(CANARY)
    (folder / "outside").mkdir()
    (folder / "outside" / "0.png").write_bytes(encode_png())
    (folder / "root/real").mkdir(parents=True)
    (folder / "root/real/0.png").write_bytes(encode_png())
    (folder / "root/linked").symlink_to(folder / "outside")
    (folder / "root/secret.txt").symlink_to(folder / "secret.txt")
    with ApiProcess(folder) as process:
        yield process
        assert process.read_errors() == ""
        assert process.close() == 0


def test_hosts_origins_paths_links_and_addresses(server: ApiProcess) -> None:
    check_hosts(server, ("/v1/ws",))
    check_origins(server, ("/v1/predict",))
    check_paths(server, list_traversals()[:: len(list_traversals()) // 8])
    check_addresses(server)
    assert server.client.post("/v1/videos/open", {"path": "real"}).status == 201
    for name in ("linked", "linked/0.png", "secret.txt", "real/../real", "real/0.png/.", "./real", "real/"):
        assert server.client.post("/v1/videos/open", {"path": name}).code == "input-not-found", name


@pytest.mark.slow
def test_all_hosts_origins_and_paths(server: ApiProcess) -> None:
    hosts, origins = check_hosts(server, PATHS[:8]), check_origins(server, PATHS)
    paths = check_paths(server, [*list_traversals(), *draw_traversals(50)])
    report("T13 serve", hosts=hosts, origins=origins, paths=paths, addresses=check_addresses(server))


def test_what_is_allowed_does_not_pass_the_checks(server: ApiProcess) -> None:
    own = f"http://127.0.0.1:{server.port}"
    assert send(server, "GET", "/v1/model", Origin=own)[0] == 200
    assert send(server, "WS", "/v1/ws", Origin=own)[0] == 101
    with pytest.raises(AssertionError):
        check_paths(server, ["health/live"])
