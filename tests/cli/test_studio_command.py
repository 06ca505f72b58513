"""`masklet studio`: what it opens, who may enter, what it refuses, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus

from masklet.cli import server_options, studio_run
from masklet.cli.main import main
from masklet.cli.options import ModelOptions
from masklet.project.project import Project
from masklet.studio.messages import unpack
from masklet.studio.server import Server
from masklet.video.cameras import Camera, CameraOptions
from support.cameras import FakeCamera
from support.clips import write_clip
from support.image_files import encode_image
from support.studio import Visitor, ask, read_code

TOKEN = "0123456789-token"


@pytest.fixture(autouse=True)
def quick(gray_world: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use a network that is no network, and an empty folder with two media."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(studio_run, "DEFAULT_PORT", 0)
    monkeypatch.delenv(server_options.TOKEN_VARIABLE, raising=False)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A folder with an image and a clip."""
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode_image(np.zeros((48, 64, 3), np.uint8)))
    write_clip(folder / "b.mp4", 4)
    return folder


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[BaseException]]:
    """A function that lets a browser do something once the page is served, and then sends a signal."""

    def plan(run: Callable[[Server], None] = lambda server: None, end: int = signal.SIGINT) -> list[BaseException]:
        raised: list[BaseException] = []

        def browse(server: Server) -> None:
            try:
                run(server)
            except BaseException as error:  # noqa: BLE001 - raised in a thread
                raised.append(error)
            os.kill(os.getpid(), end)

        def show(server: Server, *rest: object, **options: object) -> None:
            threading.Thread(target=browse, args=(server,), daemon=True).start()

        monkeypatch.setattr(studio_run, "show_page", show)
        return raised

    return plan


def studio(*words: str | Path) -> int:
    status = main(["studio", "--no-browser", *map(str, words)])
    assert status != 1
    return status


def test_media_are_opened_and_the_project_is_opened_again(
    media: Path, visit: Callable[..., list[BaseException]], capfd: pytest.CaptureFixture[str]
) -> None:
    names: list[list[str]] = []
    seen: list[str] = []

    def look(server: Server) -> None:
        record = {"address": server.address, "port": server.port, "project": "birds", "entry": str(server.entry.path)}
        visitor = Visitor(server)
        with visitor.connect() as client:
            deadline = time.monotonic() + 60
            while len(entries := ask(client, "hello")["entries"]) < 3 and time.monotonic() < deadline:
                time.sleep(0.01)
            names.append([Path(entry["path"]).name for key, entry in entries.items() if key.startswith("media/")])
        seen[:] = [json.dumps(record), str(server.entry.path.parent), read_code(server), visitor.cookie.split("=")[1]]

    raised = visit(look)
    (media / "notes.txt").write_text("notes")
    handler = signal.getsignal(signal.SIGINT)
    assert studio(media, "--project", "birds") == 0
    assert signal.getsignal(signal.SIGINT) is handler
    out, err = capfd.readouterr()
    assert out == "" and "skipped" in err and "2 images and videos added" in err
    assert "project: birds" in err and "everything is saved" in err
    assert studio("--project", "birds", "--json") == 0
    record, entry_folder, *secrets = seen
    out, err = capfd.readouterr()
    assert out == f"{record}\n" and not any(secret in out + err for secret in secrets)
    assert names == [["a.png", "b.mp4"]] * 2 and not raised
    assert not Path(entry_folder).exists()
    with Project.open("birds", create=False) as project:
        assert len(project.document.media()) == 2


def test_a_warning_is_one_line(
    media: Path, visit: Callable[..., list[BaseException]], capfd: pytest.CaptureFixture[str]
) -> None:
    (media / "a.png").write_bytes(encode_image(np.zeros((48, 64), np.uint16)))

    def look(server: Server) -> None:
        visitor = Visitor(server)
        with visitor.connect() as client:
            while "media/1" not in ask(client, "hello")["entries"]:
                pass
        assert visitor.get("/frames/1/0").status == 200

    raised = visit(look)
    assert studio(media / "a.png", "--project", "birds") == 0 and not raised
    err = capfd.readouterr().err
    assert "masklet: warning: took the high 8 of 16 bits" in err and "MaskletWarning" not in err


def test_a_termination_ends_it_and_a_port_that_is_taken_is_replaced_unless_it_was_named(
    media: Path, visit: Callable[..., list[BaseException]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ports: list[int] = []
    raised = visit(lambda server: ports.append(server.port), end=signal.SIGTERM)
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = other.getsockname()[1]
        monkeypatch.setattr(studio_run, "DEFAULT_PORT", taken)
        assert studio(media / "a.png") == 143 and ports != [taken] and len(ports) == 1 and not raised
        assert studio("--port", str(taken)) == 69


def test_other_machines_enter_with_the_token(
    media: Path, visit: Callable[..., list[BaseException]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def enter(server: Server) -> None:
        body = urllib.parse.urlencode({"token": TOKEN}).encode()
        kind = {"Content_Type": "application/x-www-form-urlencoded", "Host": "studio.example"}
        response = Visitor(server, "").request("POST", "/enter", body, **kind)
        assert response.status == 200
        cookie = response.headers["set-cookie"].partition(";")[0]
        assert Visitor(server, cookie).get("/", Host="studio.example").status == 200
        assert Visitor(server, cookie).get("/", Host="other.example").status == 421
        assert server_options.TOKEN_VARIABLE not in os.environ

    raised = visit(enter)
    Path("token").write_text(f"{TOKEN}\n")
    monkeypatch.setenv(server_options.TOKEN_VARIABLE, "the file is stronger")
    words = ["--host", "0.0.0.0", "--allow-host", "studio.example", "--token-file", "token"]
    assert studio(media / "a.png", *words) == 0 and not raised


def test_a_camera_has_its_own_page(
    visit: Callable[..., list[BaseException]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = (np.full((48, 64, 3), place % 200, np.uint8) for place in count())
    monkeypatch.setattr(
        studio_run,
        "open_source",
        lambda source: Camera(f"camera {source}", lambda: FakeCamera(images), CameraOptions()),
    )

    def look(server: Server) -> None:
        visitor = Visitor(server, "")
        entered = visitor.get(f"/enter?code={read_code(server)}")
        assert b'content="0; url=/live/1"' in entered.body
        visitor.cookie = entered.headers["set-cookie"].partition(";")[0]
        assert visitor.get("/live/1").status == visitor.get("/").status == 200 and visitor.get("/live/2").status == 404
        with visitor.connect("/ws") as client:
            assert ask(client, "hello")["cameras"] == [{"name": "camera 0", "url": "/live/1"}]
        with visitor.connect("/live/1/ws") as client:
            assert ask(client, "hello")["can_record"] is True
            assert ask(client, "record", on=True)["reply"]
            while not isinstance(message := client.recv(timeout=60), bytes) or not unpack(message)[0]["recording"]:
                pass
        with pytest.raises(InvalidStatus), visitor.connect("/live/2/ws"):
            pass

    raised = visit(look)
    assert studio("0") == 0 and not raised
    assert "camera 0: http://127.0.0.1:" in capsys.readouterr().err
    with Project.open("masklet_project", create=False) as project:
        assert [medium.kind for medium in project.document.media().values()] == ["video"]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 66, "there is no project in masklet_project"),
        (["--project", "none"], 66, "there is no project in none"),
        (["missing.png"], 66, "missing.png does not exist"),
        (["http://127.0.0.1:9/none.mjpg"], 69, "127.0.0.1:9"),
        (["media", "--host", "0.0.0.0"], 2, "lets other machines connect"),
        (["media", "--host", "192.168.0.9"], 2, "lets other machines connect"),
        (["media", "--token-file", "none.txt"], 66, "none.txt"),
        (["media", "--token-file", "media/a.png"], 2, "a line of text"),
        (["media", "--allow-host", "a:80"], 2, "a name or an address"),
        (["media", "--model", "nanoo"], 78, "nanoo"),
        (["media", "--port", "65536"], 2, "--port"),
        (["media", "--host", "256.0.0.1", "--token-file", "token"], 69, "256.0.0.1"),
    ],
)
def test_wrong_usage_is_refused(
    words: list[str], status: int, message: str, media: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("token").write_text(TOKEN)
    assert studio(*words) == status
    assert message in capsys.readouterr().err


def test_a_short_token_is_refused(
    media: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(server_options.TOKEN_VARIABLE, "short")
    assert studio(media, "--host", "0.0.0.0") == 2 and "at least 16 characters" in capsys.readouterr().err


def test_a_project_is_open_once(media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Project.open("masklet_project"):
        assert studio(media) == 75
    assert "in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "runtime"),
    [
        (ModelOptions(device="cpu"), "onnx"),
        (ModelOptions(device="cpu", dtype="bfloat16"), None),
        (ModelOptions(device="cuda"), None),
    ],
)
def test_a_cpu_runs_the_model_on_onnxruntime(options: ModelOptions, runtime: str | None) -> None:
    pytest.importorskip("torch")
    assert server_options.select_runtime(options) == runtime
