"""T13: attacks from web pages and by file names: hosts, origins, paths, links, and names in a real browser.

Nothing is accepted, no script runs, and the server connects to nobody.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from masklet.project.entries import ObjectClass, ProjectObject, class_key, object_key
from masklet.project.media import add_media
from masklet.project.project import Project
from support.browser import launch_chromium
from support.measured_process import report
from support.studio import ask
from support.studio_browser import StudioPage, expect, open_window
from support.studio_server import ServerProcess
from support.studio_session import write_media

SEED = 13
CANARY = "canary-0b5c2f"
METHODS = ("GET", "POST", "DELETE", "WS")
PATHS = (
    "/",
    "/enter",
    "/static/main.js",
    "/frames/1/0",
    "/exports/a.zip",
    "/imports/1",
    "/ws",
    "/live/1",
    "/live/1/ws",
    "/none",
)

ALLOWED_HOSTS = ("127.0.0.1:{}", "localhost:{}", "LOCALHOST:{}", "[::1]:{}", "127.0.0.1:1", "localhost", "[::1]:65535")
"""Names of the loopback address, with any port, since a server may be reached through another port."""

REFUSED_HOSTS = (
    *("evil.example", "evil.example:{}", "127.0.0.1.evil.example:{}", "localhost.evil.example:{}", "localhost.:{}"),
    *("evil-localhost:{}", "0.0.0.0:{}", "127.1:{}", "127.0.0.2:{}", "2130706433:{}", "0x7f.1:{}", "[::]:{}", "::1:{}"),
    *("[::ffff:127.0.0.1]:{}", "127.0.0.1:{}@evil.example", "evil.example#127.0.0.1:{}", "127.0.0.1:{}/"),
    *("127.0.0.1:x", "127.0.0.1,evil.example", "127.0.0.1:{} ,x", "", "user@127.0.0.1:{}", "127.0.0.1%00:{}"),
    "\xeflocalhost:{}",
)  # fmt: skip

REFUSED_ORIGINS = (
    *("http://evil.example", "https://evil.example:{}", "null", "https://127.0.0.1:{}", "http://127.0.0.1", ""),
    *("http://127.0.0.1:1", "http://127.0.0.1:{}.evil.example", "http://127.0.0.1:{}@evil.example", "http://localhost:{}"),
    *("http://[::1]:{}", "file://", "chrome-extension://abcdef", "http://127.0.0.1:{}/", "HTTP://127.0.0.1:{}"),
    *("http://127.0.0.1:{} http://evil.example", "http://127.0.0.1:{}\x01"),
)  # fmt: skip

_STEPS = ("..", "%2e%2e", "%2e.", "..%00", "..;", "...", "%252e%252e", "%c0%ae%c0%ae", "%u002e%u002e", "..%ff")
_SLASHES = ("/", "%2f", "%2F", "\\", "%5c", "//", "%252f", "%c0%af", "/./")
_TARGETS = ("secret.txt", "etc/passwd", "server.py", "project.json", "open.html")


def list_traversals() -> list[str]:
    """Return paths that lead out of a folder: relative, absolute, encoded once and twice."""
    relative = [
        step + slash + (step + slash) * depth + target
        for step in _STEPS
        for slash in _SLASHES
        for depth, target in ((0, _TARGETS[2]), (2, _TARGETS[0]), (7, _TARGETS[1]))
    ]
    absolute = [
        *("/etc/passwd", "%2fetc%2fpasswd", "file:///etc/passwd", "C:%5cwindows%5cwin.ini", "%5c%5chost%5cshare"),
        *("~/.ssh/id", "con", "nul.json", ".git/config", ".hidden.js", "main.js/", "main.js%00.png", "main.js%20"),
        *("main.js::$DATA", "http://evil.example/a", "%0d%0aSet-Cookie:a=b", "a%0d%0a%0d%0a<script>", "*", "%3f", "-"),
    ]  # fmt: skip
    return [*absolute, *relative]


def draw_traversals(count: int) -> Iterator[str]:
    """Draw paths of random steps, slashes and targets."""
    choice = random.Random(SEED)
    for _ in range(count):
        steps = (
            choice.choice((*_STEPS, "static", "a", ".")) + choice.choice(_SLASHES) for _ in range(choice.randrange(9))
        )
        yield choice.choice(("", "", *_SLASHES)) + "".join(steps) + choice.choice(_TARGETS)


def send(server: ServerProcess, method: str, path: str, **headers: str) -> tuple[int, str, bytes]:
    """Send a request or a handshake, and return the status, the code and the body of the response."""
    own = {"Host": f"127.0.0.1:{server.port}", "Cookie": server.cookie, **headers}
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.putrequest("GET" if method == "WS" else method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in own.items():
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
        assert is_problem or response.status < 400, (response.status, body[:200])
        return response.status, json.loads(body)["code"] if is_problem and body else "", body


def check_hosts(server: ServerProcess, paths: tuple[str, ...]) -> int:
    """Send every host to every path with every method, and return the number of requests."""
    requests = [(method, path) for path in paths for method in METHODS]
    for host in REFUSED_HOSTS:
        for method, path in requests:
            status, code, _ = send(server, method, path, Host=host.format(server.port))
            assert (status, code) == (421, "host-refused") or (status == 400 and not host.isascii()), (
                host,
                method,
                path,
            )
    secret = server.cookie.partition("=")[2]
    for host in ALLOWED_HOSTS:
        name = host.format(server.port)
        port = name.rpartition(":")[2] if name[-1].isdecimal() and ":" in name else "80"
        for method, path in (("GET", "/"), ("WS", "/ws")):
            own = {"Host": name, "Cookie": f"masklet-{port}={secret}", "Origin": f"http://{name}"}
            assert send(server, method, path, **own)[0] in (200, 101), host
    return len(REFUSED_HOSTS) * len(requests) + 2 * len(ALLOWED_HOSTS)


def check_origins(server: ServerProcess, paths: tuple[str, ...]) -> int:
    """Send every origin to every path with every method, with the cookie and without it."""
    requests = [(method, path, cookie) for path in paths for method in METHODS for cookie in (server.cookie, "")]
    for origin in REFUSED_ORIGINS:
        for method, path, cookie in requests:
            status, code, _ = send(server, method, path, Origin=origin.format(server.port), Cookie=cookie)
            assert (status, code) == (403, "origin-refused") or (status == 400 and "\x01" in origin), (
                origin,
                method,
                path,
            )
    for method, path in (("GET", "/"), ("WS", "/ws")):
        assert send(server, method, path, Origin=f"http://127.0.0.1:{server.port}")[0] in (200, 101)
        assert send(server, method, path, Cookie="")[:2] == (401, "unauthorized")
    return len(REFUSED_ORIGINS) * len(requests) + 4


def check_paths(server: ServerProcess, paths: list[str]) -> int:
    """Request paths out of the folders of every resource, and as arguments of an import."""
    resources = ("/static/{}", "/exports/{}.zip", "/exports/{}", "/frames/{}/0", "/frames/1/{}", "/live/{}", "/{}")
    count = 0
    for path in paths:
        for resource in resources:
            status, _, body = send(server, "GET", resource.format(path).replace(" ", "%20"))
            assert status in (400, 404), (resource, path, status)
            assert CANARY.encode() not in body and b"root:" not in body
            count += 1
        status, _, body = send(server, "POST", f"/imports/1?name={path.replace('?', '')}")
        assert 400 <= status < 500 and CANARY.encode() not in body
        count += 1
    with server.visitor.connect(max_size=None) as connection:
        for path in paths:
            problem = ask(connection, "import_annotations", medium=1, path=path)["problem"]
            assert problem["code"] == "input-not-found" and CANARY not in problem["detail"]
            count += 1
    return count


def plant_links(folder: Path) -> None:
    """Write a secret, and links to it where the server looks for annotations and exports."""
    write_media(folder)
    outside = folder.parent / f"{folder.name}-outside"
    outside.mkdir()
    (outside / "secret.json").write_text(f'{{"images": [], "annotations": [], "categories": [], "x": "{CANARY}"}}')
    (folder / "linked.json").symlink_to(outside / "secret.json")
    (folder / "linked").symlink_to(outside)
    exports = folder / "project" / "exports"
    (exports / "real").mkdir(parents=True)
    (exports / "real" / "a.txt").write_text("a")
    (exports / "real" / "secret.txt").symlink_to(outside / "secret.json")
    (exports / "linked").symlink_to(outside)


def check_links(server: ServerProcess) -> None:
    """Nothing is read through the links."""
    status, _, body = send(server, "GET", "/exports/real.zip")
    assert status == 200 and CANARY.encode() not in body and b"a.txt" in body and b"secret.txt" not in body
    assert send(server, "GET", "/exports/linked.zip")[:2] == (404, "input-not-found")
    with server.visitor.connect() as connection:
        assert ask(connection, "list_annotations")["files"] == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with links in its folders, which must have no bug and no connection at the end."""
    folder = tmp_path_factory.mktemp("server") / "media"
    folder.mkdir()
    plant_links(folder)
    with ServerProcess(folder, prepare=False) as process:
        yield process
        assert process.read_errors() == ""
        assert process.close() == 0


def test_hosts_origins_paths_and_links(server: ServerProcess) -> None:
    check_hosts(server, ("/ws",))
    check_origins(server, ("/imports/1",))
    check_paths(server, list_traversals()[:: len(list_traversals()) // 12])
    check_links(server)


@pytest.mark.slow
def test_all_hosts_origins_and_paths(server: ServerProcess) -> None:
    hosts, origins = check_hosts(server, PATHS), check_origins(server, PATHS)
    paths = check_paths(server, [*list_traversals(), *draw_traversals(100)])
    check_links(server)
    report("T13", hosts=hosts, origins=origins, paths=paths)


def test_a_server_without_a_guard_fails_the_test(server: ServerProcess) -> None:
    """The checks of refusals are not vacuous: what is allowed does not pass them."""
    own = f"http://127.0.0.1:{server.port}"
    assert send(server, "GET", "/", Origin=own)[0] == 200 and send(server, "WS", "/ws", Origin=own)[0] == 101
    assert CANARY.encode() not in send(server, "GET", "/static/main.js")[2]
    with suppress(InvalidStatus), connect(f"ws://127.0.0.1:{server.port}/ws", proxy=None):
        raise AssertionError("a client without a cookie is accepted")


RAN = "masklet_script_ran"
_EVIL = "http://evil.example"
HOSTILE_NAMES = (
    *(f"<script>{RAN}=1</script>", f"<img src=x onerror={RAN}=1>", f"<svg onload={RAN}=1>", f'"><script>{RAN}=1'),
    *(f"'><img src=x onerror='{RAN}=1'>", f"<iframe srcdoc='<script>top.{RAN}=1</script>'>", f"<base href={_EVIL}>"),
    *(f"javascript:{RAN}=1", f"<a href='javascript:{RAN}=1'>a</a>", f"<link rel=stylesheet href={_EVIL}/a.css>"),
    *("<style>*{display:none}</style>", f"<style>@import '{_EVIL}/a.css'</style>", "<!--", "]]>", "</title><h1>a"),
    *(f"<meta http-equiv=refresh content='0;url={_EVIL}'>", f"<body onload={RAN}=1>", f"<x onfocus={RAN}=1 autofocus>"),
    *(f"<details open ontoggle={RAN}=1>", f"<math><mtext><script>{RAN}=1</script>", f"<template><script>{RAN}=1"),
    *(f"<form action={_EVIL}><input autofocus>", f"<img src={_EVIL}/a.png>", f"<video src={_EVIL}/a.mp4 autoplay>"),
    *("&lt;script&gt;", "&#60;img src=x&#62;", "%3Cscript%3E", "\\u003cscript\\u003e", f"${{{RAN}=1}}"),
    *(f"{{{{{RAN}=1}}}}", f"`+({RAN}=1)+`", f"';{RAN}=1;//", f'";{RAN}=1;//', f"url({_EVIL}/a.png)"),
    *(f"red;background:url({_EVIL})", "\u202egnp.exe", "\u2066a\u2069\u202b\u05d0", "\u200b\u200e\u200f\ufeff"),
    *("a\u0300\u0301\u0302" * 15, "\U0001f600" * 20, "\u0623\u0644\u0641", "x" * 180, " a ", "__proto__"),
    *("constructor", "toString", "hasOwnProperty", "null", "undefined", "NaN", "-1", "\u2028\u2029"),
    *("\x01\x02\x1b[31m", "a\tb\nc\rd", "\x7f\x80\x9f"),
)  # fmt: skip
"""Names that are code in HTML, CSS, scripts or templates, are hard to show, or are properties of objects."""


def make_hostile_project(folder: Path) -> list[str]:
    """Make a project whose images have the hostile names, and its classes, attributes and objects those they may have.

    Returns:
        The names of the classes and objects.
    """
    files = folder / "files"
    files.mkdir()
    paths = []
    for number, name in enumerate(HOSTILE_NAMES):
        path = files / f"{number} {name.replace('/', '∕')}.png"
        Image.new("RGB", (60, 40), (number, 0, 0)).save(path, format="png")
        paths.append(path)
    with Project.open(folder / "project") as project:
        assert len(add_media(project, paths).added) == len(HOSTILE_NAMES)
        entries: dict[str, Any] = {"project": {"name": HOSTILE_NAMES[0]}}
        names = [name for name in HOSTILE_NAMES if name.isprintable() and name == name.strip()]
        for number, name in enumerate(names, start=1):
            entries[class_key(number)] = ObjectClass(name, "#102030", (name,)).to_json()
            attributes = {name: name}
            entries[object_key(1, number)] = ProjectObject(name, number, "#203040", attributes=attributes).to_json()
        project.act("add_class", entries)
    assert len(HOSTILE_NAMES) >= 50
    return names


@pytest.mark.slow
def test_hostile_names_are_text_on_the_page(tmp_path: Path) -> None:
    names = make_hostile_project(tmp_path)
    script = f"""
        window.violations = [];
        addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
        Object.defineProperty(window, "{RAN}", {{ set: () => violations.push("a script ran") }});
    """
    with ServerProcess(tmp_path, prepare=False) as server, launch_chromium() as browser:
        studio = BrowserEntry(server)
        with open_window(browser, studio, script=script) as window:  # type: ignore[arg-type]
            page, addresses, dialogs = window.page, list[str](), list[str]()
            page.on("request", lambda request: addresses.append(request.url))
            page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
            window.medium().first.click()
            expect(window.objects()).to_have_count(len(names))
            for number in range(0, len(names), 4):
                window.objects().nth(number).get_by_role("button").first.click()
            shown = [text.partition("\n")[0] for text in window.objects().all_inner_texts()]
            images = list_images(window)
            for name in ("Import annotations", "Export", "Statistics", "Shortcuts"):
                page.get_by_role("button", name=name).first.click()
                expect(page.get_by_role("dialog")).to_be_visible()
                window.press("Escape")
            assert len(images) == len(HOSTILE_NAMES)
            assert page.evaluate("violations") == [] and not dialogs
            assert all(address.startswith((studio.address, "blob:", "data:")) for address in addresses), addresses
            assert [text for text, name in zip(shown, names, strict=True) if text.split() != name.split()] == []
            counts = {"images": len(images), "objects_and_classes": len(names), "requests": len(addresses)}
            report("T13 names", **counts)
            page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=alert(1)>')")
            page.wait_for_function("violations.length")  # so that code in a name would have been found
            window.problems.clear()
        assert server.read_errors() == ""


def list_images(window: StudioPage) -> set[str]:
    """Scroll through the list of images, which has elements only for those that are visible, and show some of them."""
    found: set[str] = set()
    position = 0
    panel = window.page.locator("[role=listbox]")
    while position < panel.evaluate("(list) => list.scrollHeight"):
        panel.evaluate("(list, top) => { list.scrollTop = top; }", position)
        window.page.wait_for_timeout(200)
        options = panel.get_by_role("option")
        options.nth(options.count() // 2).click()
        found |= {text.split()[0] for text in options.all_inner_texts()}
        position += 400
    return found


class BrowserEntry:
    """A server as a browser enters it."""

    def __init__(self, server: ServerProcess) -> None:
        self.entry, self.address = f"file://{server.entry.path}", f"http://127.0.0.1:{server.port}/"
