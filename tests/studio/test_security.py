"""Access to the studio: hosts, origins, codes, tokens, the cookie, and that no secret is visible to other users."""

from __future__ import annotations

import re
import stat
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from masklet.errors import SettingsError
from masklet.http.security import CODE_LIFETIME_S, Access, is_loopback
from masklet.studio.entry_file import EntryFile
from masklet.studio.server import Server
from support.studio import Visitor, ask, enter, read_code, serve

TOKEN = "a token of the user: ü"


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    """A server with a token and a further name."""
    with serve(Access(["studio.example", "fe80::1"], TOKEN)) as server:
        yield server


def test_the_cookie_is_the_browsers_alone(server: Server) -> None:
    response = Visitor(server, "").get(f"/enter?code={read_code(server)}")
    name, _, rest = response.headers["set-cookie"].partition("=")
    value, *attributes = rest.split("; ")
    assert name == f"masklet-{server.port}" and len(value) >= 43
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=Strict"]
    assert response.headers["cache-control"] == "no-store" and response.headers["referrer-policy"] == "no-referrer"
    assert 'http-equiv="refresh" content="0; url=/"' in response.body.decode(), "a redirect would not get the cookie"


def test_a_code_works_once_and_the_private_file_has_another_one_afterwards(server: Server) -> None:
    code, stranger = read_code(server), Visitor(server, "")
    assert stranger.get(f"/enter?code={code}").status == 200
    again = stranger.get(f"/enter?code={code}")
    assert (again.status, again.code) == (401, "unauthorized") and "set-cookie" not in again.headers
    assert read_code(server) != code and stranger.get(f"/enter?code={read_code(server)}").status == 200


def test_a_code_expires() -> None:
    now = 0.0
    access = Access(now=lambda: now)
    early, late = access.issue_code(), access.issue_code()
    now = CODE_LIFETIME_S - 1
    assert access.redeem_code(early)
    now = CODE_LIFETIME_S + 1
    assert not access.redeem_code(late) and access.redeem_code(access.issue_code())


def test_every_resource_but_the_entrance_needs_the_cookie(server: Server) -> None:
    for cookie in ("", f"masklet-{server.port}=wrong", f"masklet-{server.port}=", "masklet=x", "\xff=\xff", ";;=;"):
        stranger = Visitor(server, cookie)
        for path in (
            "/",
            "/static/index.html",
            "/frames/1/0",
            "/exports/a.zip",
            "/imports/1",
            "/ws",
            "/none",
            "/enter/",
        ):
            response = stranger.get(path)
            assert (response.status, response.code) == (401, "unauthorized"), (cookie, path)
    with pytest.raises(InvalidStatus) as caught, Visitor(server, "x=y").connect():
        pass
    assert caught.value.response.status_code == 401


@pytest.mark.parametrize("code", ["", "?code=", "?code=x", "?code=%ff", "?token=x"])
def test_without_a_valid_code_there_is_no_entrance(code: str, server: Server) -> None:
    assert Visitor(server, "").get(f"/enter{code}").status == 401


def test_the_cookie_is_found_among_those_of_other_servers(server: Server) -> None:
    cookie = enter(server)
    assert Visitor(server, f"a[b]=1; {cookie}; masklet-1=x").get("/").status == 200
    assert Visitor(server, cookie.replace(f"{server.port}=", f"{server.port + 1}=")).get("/").status == 401


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
@pytest.mark.parametrize("port", ["", ":80", ":9000"])
def test_the_server_has_the_names_of_the_loopback_address_on_any_port(host: str, port: str, server: Server) -> None:
    value = enter(server).partition("=")[2]
    visitor = Visitor(server, f"masklet{port or ':80'}={value}".replace(":", "-"))
    assert visitor.get("/", Host=host + port, Origin=f"http://{host}{port}").status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{}", "127.0.0.1.evil.example:{}", "localhost.:{}", "localhost:x", "localhost:", "",
     "[::1", "::1:{}", "0.0.0.0:{}", "127.1:{}", "127.0.0.1:{}@evil.example", "localhost:123456", "localhost,evil",
     "\u00e9"],
)  # fmt: skip
def test_another_host_is_refused(host: str, visitor: Visitor) -> None:
    for path in ("/", "/enter", "/none"):
        response = visitor.get(path, Host=host.format(visitor.port))
        assert (response.status, response.code) == (421, "host-refused")


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "https://127.0.0.1:{0}", "http://127.0.0.1", "http://localhost:{0}", "",
     "http://127.0.0.1:{0}/", "http://127.0.0.1:{0}, http://evil.example", "file://", "http://127.0.0.1:1"],
)  # fmt: skip
def test_another_origin_is_refused(origin: str, visitor: Visitor) -> None:
    for method, path in (("GET", "/"), ("POST", "/enter"), ("POST", "/imports/1")):
        response = visitor.request(method, path, Origin=origin.format(visitor.port))
        assert (response.status, response.code) == (403, "origin-refused")
    with pytest.raises(InvalidStatus) as caught, visitor.connect(origin=origin.format(visitor.port)):
        pass
    assert caught.value.response.status_code == 403


def test_the_own_origin_may_connect(visitor: Visitor) -> None:
    with visitor.connect(origin=f"http://127.0.0.1:{visitor.port}") as socket:
        assert ask(socket, "hello")["command"] == "hello"


def test_every_response_has_the_policies(visitor: Visitor) -> None:
    for path in ("/", "/none", "/frames/1/0", "/enter"):
        headers = visitor.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert not {"server", "access-control-allow-origin"} & headers.keys()


def test_the_page_has_no_inline_code() -> None:
    web = Path(__file__).parents[2] / "src/masklet/studio/web"
    for page in web.glob("*.html"):
        text = page.read_text()
        assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|javascript:", text), page


def post_token(server: Server, token: str, **headers: str) -> tuple[int, str]:
    body = urllib.parse.urlencode({"token": token}).encode()
    kind = {"Content_Type": "application/x-www-form-urlencoded", **headers}
    response = Visitor(server, "").request("POST", "/enter", body, **kind)
    return response.status, response.headers.get("set-cookie", "").partition(";")[0]


def test_the_token_is_exchanged_for_the_cookie(shared_server: Server) -> None:
    form = Visitor(shared_server, "").get("/enter")
    assert form.status == 200 and b'name="token" type="password"' in form.body
    assert form.headers["referrer-policy"] == "same-origin", "browsers would send the form with Origin: null"
    status, cookie = post_token(shared_server, TOKEN)
    assert status == 200 and Visitor(shared_server, cookie).get("/").status == 200
    assert post_token(shared_server, TOKEN[:-1]) == post_token(shared_server, "") == (401, "")


def test_without_a_token_none_is_accepted(server: Server) -> None:
    assert post_token(server, TOKEN)[0] == post_token(server, "")[0] == 401


def test_a_form_has_its_content_type_and_size(shared_server: Server) -> None:
    assert post_token(shared_server, TOKEN, Content_Type="text/plain")[0] == 415
    assert post_token(shared_server, "x" * 5000)[0] == 413


@pytest.mark.parametrize("host", ["studio.example", "studio.example:9000", "STUDIO.example", "[fe80::1]:80"])
def test_further_names_are_allowed(host: str, shared_server: Server) -> None:
    status, cookie = post_token(shared_server, TOKEN, Host=host, Origin=f"http://{host}")
    assert status == 200 and Visitor(shared_server, cookie).get("/", Host=host).status == 200


@pytest.mark.parametrize("host", ["", "a b", "http://studio.example", "studio.example:80", "a/b", "*"])
def test_a_further_name_has_no_port_or_scheme(host: str) -> None:
    with pytest.raises(SettingsError, match="a host is a name or an address"):
        Access([host])


def test_a_short_token_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least 16 characters"):
        Access(token="short")


def test_only_the_user_can_read_the_private_file(server: Server) -> None:
    path = server.entry.path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["open.html"]


def test_a_private_file_that_was_deleted_is_no_problem_for_those_who_enter(caplog: pytest.LogCaptureFixture) -> None:
    with serve() as server:
        code = read_code(server)
        server.entry.close()
        assert Visitor(server, "").get(f"/enter?code={code}").status == 200
    assert "open.html" in caplog.text


def test_the_private_file_is_removed() -> None:
    with EntryFile() as entry:
        entry.write("http://127.0.0.1/?a=1&b='2'\"><script>")
        assert "<script>" not in entry.path.read_text() and "&amp;b=" in entry.path.read_text()
    assert not entry.path.parent.exists()


def test_no_secret_is_in_a_command_line(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    server.open_browser()
    assert opened == [server.entry.path.as_uri()] and read_code(server) not in opened[0]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_no_process_shows_a_secret(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\ntr "\\0" " " < /proc/$$/cmdline > {tmp_path}/seen\n')
    browser.chmod(0o700)
    monkeypatch.setenv("BROWSER", str(browser))
    monkeypatch.setattr("webbrowser._tryorder", None)
    server.open_browser()
    secrets = [read_code(server), enter(server).partition("=")[2]]
    lines = [(tmp_path / "seen").read_bytes()]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(process.read_bytes())
        except OSError:
            continue
    assert b"open.html" in lines[0] and len(lines) > 1
    assert not any(secret.encode() in line for secret in secrets for line in lines)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("[::1]", True), ("localhost", True), ("127.9.9.9", True), ("0.0.0.0", False),
     ("::", False), ("192.168.0.9", False), ("studio.example", False)],
)  # fmt: skip
def test_loopback_addresses(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
