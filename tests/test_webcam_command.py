"""`masklet webcam`, with a fake camera that plays a file: what it follows, shows and records, and how it ends."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from clips import number_of, write_clip
from fakes import FakeBackend
from masklet.cli import live, preview, tracking
from masklet.cli.main import main
from masklet.cli.preview import Preview
from masklet.prompts import click
from masklet.segmenter import Segmenter
from masklet.video import Video, open_video
from masklet.video.camera import Camera, CameraOptions, Shot

OPTIONS = CameraOptions(patience=0.3, attempts=2, warm_up=5)


class Played:
    """Plays a video as a camera; `live` ones do not wait to be looked at. At the end it does `then`."""

    def __init__(self, video: Video, then: Callable[[], None], *, live: bool, pause: float = 0.0) -> None:
        self.live, self._then, self._pause = live, then, pause
        self._frames = iter(video)

    def read(self) -> Shot | None:
        time.sleep(self._pause)
        frame = next(self._frames, None)
        if frame is None:
            self._then()
            return None
        return Shot(frame.image, frame.time)

    def close(self) -> None: ...


def end() -> None:
    raise EOFError


def unplug() -> None:
    raise OSError("the plug was pulled")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 40, size=(64, 128))


Plays = Callable[..., FakeBackend]


@pytest.fixture
def plays(clip: Path, monkeypatch: pytest.MonkeyPatch) -> Plays:
    """Puts a camera that plays the clip, and a backend without a network, in place of real ones."""

    def put(then: Callable[[], None] = end, *, live_: bool = False, pause: float = 0.0) -> FakeBackend:
        backend: Any = FakeBackend()
        video: Any = open_video(clip)
        camera = Camera("the fake", lambda: Played(video, then, live=live_, pause=pause), OPTIONS)
        monkeypatch.setattr(live, "camera", lambda index: camera)
        monkeypatch.setattr(tracking.Runtime, "load", lambda self: Segmenter(backend))
        return backend  # type: ignore[no-any-return]

    return put


def webcam(*words: str | Path) -> int:
    status = main(["webcam", *map(str, words)])
    assert status != 1
    return status


def numbers(path: Path) -> list[int]:
    """The numbers that the pictures of a recording show."""
    with av.open(str(path)) as container:
        return [number_of(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def test_the_masks_are_those_of_the_same_frames_in_a_file(
    plays: Plays, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plays()
    assert webcam("--point", "5,50", "--point", "100,50@3#2", "--no-preview", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    prompts = {0: {1: click(5, 50)}, 3: {2: click(100, 50)}}
    frames = list(Segmenter(FakeBackend()).track((frame.image for frame in open_video(clip)), prompts))
    assert [line["frame"] for line in lines] == list(range(40))
    for line, frame in zip(lines, frames, strict=True):
        assert [one["id"] for one in line["objects"]] == list(frame.masks.object_ids)
        assert [one["area"] for one in line["objects"]] == frame.masks.areas.tolist()


def test_a_recording_has_every_frame_at_its_time(plays: Plays, tmp_path: Path) -> None:
    plays()
    assert webcam("--point", "5,50", "--no-preview", "--record", tmp_path / "out.mp4") == 0
    assert len(numbers(tmp_path / "out.mp4")) == 40
    with av.open(str(tmp_path / "out.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([index / 10 for index in range(40)])


def test_it_stops_after_as_many_frames_as_asked_for(plays: Plays, tmp_path: Path) -> None:
    plays()
    assert webcam("--point", "5,50", "--no-preview", "--stop", "7", "--record", tmp_path / "out.mp4") == 0
    assert len(numbers(tmp_path / "out.mp4")) == 7


def test_frames_that_come_meanwhile_are_dropped_and_counted(plays: Plays, capsys: pytest.CaptureFixture[str]) -> None:
    backend = plays(live_=True, pause=0.01)
    working = backend.encode
    backend.encode = lambda images: (time.sleep(0.05), working(images))[1]  # type: ignore[method-assign]
    assert webcam("--point", "5,50", "--no-preview", "--json") == 0
    caught = capsys.readouterr()
    lines = [json.loads(line) for line in caught.out.splitlines()]
    assert len(lines) < 30 and lines[-1]["dropped"] > 5
    assert len(lines) + lines[-1]["dropped"] <= 40
    assert f"{lines[-1]['dropped']} dropped to stay with now" in caught.err


def test_an_unplugged_camera_ends_the_session_with_the_recording_complete(
    plays: Plays, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plays(unplug)
    started = time.monotonic()
    assert webcam("--point", "5,50", "--no-preview", "--record", tmp_path / "out.mp4") == 69
    assert time.monotonic() - started < 10
    assert "[camera-lost]" in capsys.readouterr().err
    assert len(numbers(tmp_path / "out.mp4")) == 40


def test_a_camera_that_is_not_there_has_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect() -> Any:
        raise OSError("it cannot be opened")

    monkeypatch.setattr(tracking.Runtime, "load", lambda self: Segmenter(FakeBackend()))  # type: ignore[arg-type]
    monkeypatch.setattr(live, "camera", lambda index: Camera("camera 7", connect, OPTIONS))
    assert webcam("7", "--point", "5,50", "--no-preview") == 69


def test_an_interrupt_ends_it_with_the_recording_complete(plays: Plays, tmp_path: Path) -> None:
    backend = plays()
    working, left = backend.encode, iter(range(12))

    def interrupted(images: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return working(images)

    backend.encode = interrupted  # type: ignore[method-assign]
    assert webcam("--point", "5,50", "--no-preview", "--record", tmp_path / "out.mp4") == 130
    assert len(numbers(tmp_path / "out.mp4")) == 12


def test_a_recording_can_be_played_while_it_is_made(
    plays: Plays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = plays()
    working, count = backend.encode, iter(range(100))

    def copied(images: Any) -> Any:
        if next(count) == 39:
            shutil.copy(tmp_path / "out.mp4", tmp_path / "killed.mp4")
        return working(images)

    backend.encode = copied  # type: ignore[method-assign]
    monkeypatch.setattr(live, "H264_LIVE", _with_key_frames(live.H264_LIVE, 10))
    assert webcam("--point", "5,50", "--no-preview", "--record", tmp_path / "out.mp4") == 0
    assert len(numbers(tmp_path / "killed.mp4")) >= 20


def _with_key_frames(codec: Any, every: int) -> Any:
    from dataclasses import replace

    return replace(codec, options={**codec.options, "g": str(every)})


def test_a_recording_replaces_nothing_unless_told_to(plays: Plays, tmp_path: Path) -> None:
    plays()
    (tmp_path / "out.mp4").write_text("mine")
    words = ["--point", "5,50", "--no-preview", "--stop", "2", "--record", tmp_path / "out.mp4"]
    assert webcam(*words) == 73 and (tmp_path / "out.mp4").read_text() == "mine"
    assert webcam(*words, "--overwrite") == 0 and len(numbers(tmp_path / "out.mp4")) == 2


def test_a_recording_that_cannot_be_written_is_told(plays: Plays, tmp_path: Path) -> None:
    plays()
    assert webcam("--point", "5,50", "--no-preview", "--record", tmp_path / "missing/out.mp4") == 73


@pytest.mark.parametrize(("words", "status"), [([], 2), (["film.mp4", "--point", "5,5"], 2), (["--point", "x"], 2)])
def test_wrong_usage_is_told(words: list[str], status: int, plays: Plays) -> None:
    plays()
    assert webcam(*words, "--no-preview") == status


def test_a_prompt_outside_the_picture_is_told(plays: Plays) -> None:
    plays()
    assert webcam("--point", "500,50", "--no-preview") == 65


def test_the_page_is_opened_where_there_is_a_screen(plays: Plays, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    plays()
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(live.webbrowser, "open", opened.append)
    assert webcam("--point", "5,50", "--stop", "2") == 0
    assert len(opened) == 1 and opened[0].startswith("http://127.0.0.1:")


@pytest.fixture
def page() -> Iterator[Preview]:
    page = Preview()
    yield page
    page.close()


def get(page: Preview, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=5)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read(100_000) if path.endswith("stream") is False else b""
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def secret(page: Preview) -> str:
    return page.url.split("/")[3]


def test_the_page_shows_pictures_and_a_line_about_them(page: Preview) -> None:
    page.show(np.full((20, 30, 3), 90, np.uint8), "3 frames <b>")
    status, headers, content = get(page, f"/{secret(page)}/")
    assert (
        status == 200 and b'<img src="stream"' in content and "script-src 'self'" in headers["content-security-policy"]
    )
    assert "access-control-allow-origin" not in headers
    assert json.loads(get(page, f"/{secret(page)}/status")[2]) == {"pictures": 1, "text": "3 frames <b>"}
    assert get(page, f"/{secret(page)}/preview.js")[0] == get(page, f"/{secret(page)}/preview.css")[0] == 200


def test_watchers_see_the_latest_picture(page: Preview) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=5)
    page.show(np.zeros((16, 16, 3), np.uint8), "")
    connection.request("GET", f"/{secret(page)}/stream")
    answer = connection.getresponse()
    assert answer.getheader("Content-Type") == "multipart/x-mixed-replace; boundary=picture"
    import cv2

    for shade in (40, 200):
        page.show(np.full((16, 16, 3), shade, np.uint8), "")
        while True:
            lines = [answer.readline() for _ in range(4)]
            length = int(lines[2].split(b":")[1])
            image = cv2.imdecode(np.frombuffer(answer.read(length), np.uint8), cv2.IMREAD_COLOR)
            answer.readline()
            if abs(int(image[8, 8, 0]) - shade) < 4:
                break
    connection.close()


def test_a_watcher_that_does_not_read_makes_nobody_wait(page: Preview) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=5)
    connection.request("GET", f"/{secret(page)}/stream")
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3)).astype(np.uint8)
    started = time.monotonic()
    for _ in range(200):
        page.show(noise, "")
    assert time.monotonic() - started < 1
    connection.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Host": "127.0.0.1:1"}, 421),
        ({"Host": "localhost:{port}"}, 200),
        ({"Host": "LOCALHOST.evil.example:{port}"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({}, 200),
    ],
)
def test_only_this_machines_own_page_is_answered(page: Preview, headers: dict[str, str], status: int) -> None:
    given = {name: value.format(port=page.port) for name, value in headers.items()}
    assert get(page, f"/{secret(page)}/status", **given)[0] == status


@pytest.mark.parametrize(
    "path", ["/", "/status", "/stream", "/x/status", "/{secret}", "/{secret}/../status", "/{secret}/etc"]
)
def test_nothing_is_found_without_the_secret(page: Preview, path: str) -> None:
    assert get(page, path.format(secret=secret(page)))[0] == 404


@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(page: Preview, verb: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=5)
    connection.request(verb, f"/{secret(page)}/status")
    assert connection.getresponse().status == 501


def test_there_is_room_for_eight_watchers(page: Preview, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "_WATCHERS", 2)
    page.show(np.zeros((8, 8, 3), np.uint8), "")
    watching = [http.client.HTTPConnection("127.0.0.1", page.port, timeout=5) for _ in range(2)]
    for connection in watching:
        connection.request("GET", f"/{secret(page)}/stream")
        assert connection.getresponse().status == 200
    assert get(page, f"/{secret(page)}/stream")[0] == 503


def test_the_page_ends_with_the_session(plays: Plays) -> None:
    before = threading.active_count()
    plays()
    assert webcam("--point", "5,50", "--stop", "3") == 0
    deadline = time.monotonic() + 5
    while threading.active_count() > before + 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [thread for thread in threading.enumerate() if thread.name == "masklet-preview"]
