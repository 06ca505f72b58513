"""T15: files that are cut off are reported, videos give the frames that remain, and half an upload changes nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fuzzing.kinds.images import encode_variants
from fuzzing.kinds.videos import VP9
from masklet import read_image
from masklet.errors import ImageError, InputNotFound, VideoError
from masklet.http.security import Access
from masklet.studio.app import Site
from masklet.studio.connection import Clients
from masklet.studio.server import Server
from masklet.video import VideoOptions, open_video
from support.clips import read_number, write_clip
from support.studio import enter
from support.studio_session import FIRST, open_session

IN_PROCESS = VideoOptions(isolated=False)
IMAGES = encode_variants()
CLIPS: dict[str, dict[str, Any]] = {
    "h264.mkv": {"options": {"g": "10", "bf": "2"}},
    "h264.ts": {"options": {"g": "10", "bf": "2"}},
    "vp9.webm": VP9,
    "mjpeg.avi": {"codec": "mjpeg"},
}
EVERY = [pytest.param(9, id="every 9 %"), pytest.param(1, id="every 1 %", marks=pytest.mark.slow)]

pytestmark = pytest.mark.filterwarnings("ignore")


def read_or_code(data: bytes) -> Any:
    """Return the image or the code of its error; any other exception fails the test."""
    try:
        return read_image(data)
    except (ImageError, InputNotFound) as error:
        return error.code


@pytest.mark.parametrize("step", EVERY)
@pytest.mark.parametrize("name", IMAGES)
def test_a_truncated_image_is_reported_unless_it_has_all_pixels(name: str, step: int) -> None:
    data = IMAGES[name]
    whole = read_or_code(data)
    for percent in range(step, 100, step):
        end = max(40, len(data) * percent // 100)
        found = read_or_code(data[:end])
        if len(data) - end < 64 and not isinstance(found, str):  # only a checksum or an end mark is missing
            assert np.array_equal(found, whole)
        else:
            assert found == "image-truncated", end


@pytest.mark.slow
@pytest.mark.parametrize("name", ["JPEG", "PNG palette", "WebP"])
def test_an_image_that_is_cut_at_any_byte_is_reported(name: str) -> None:
    data = IMAGES[name]
    whole = read_or_code(data)
    for end in range(40, len(data)):
        found = read_or_code(data[:end])
        is_whole = not isinstance(found, str) and len(data) - end < 64 and np.array_equal(found, whole)
        assert is_whole or found == "image-truncated", end


@pytest.mark.parametrize("step", EVERY)
@pytest.mark.parametrize("name", CLIPS)
def test_a_truncated_video_gives_its_decodable_frames(name: str, step: int, tmp_path: Path) -> None:
    path = tmp_path / name
    data, counts = write_clip(path, 25, **CLIPS[name]).read_bytes(), []
    for percent in range(20, 100, step):
        end = len(data) * percent // 100
        path.write_bytes(data[: end + (end % 188 == 0)])
        try:
            video = open_video(path, IN_PROCESS)
        except VideoError as error:
            assert error.code == "video-no-frames"
            continue
        with closing(video):
            frames = list(video)
            assert video.truncated, percent
            assert len(video) == len(frames)
        intact = [read_number(frame.image) for frame in frames[:-2]]
        assert intact == list(range(len(intact)))
        counts.append(len(frames))
    assert counts == sorted(counts)
    assert counts[-1] >= 20


@pytest.mark.parametrize("step", EVERY)
def test_a_truncated_mp4_is_refused_with_its_cause(step: int, tmp_path: Path) -> None:
    """The index is at the end of the file."""
    path = tmp_path / "a.mp4"
    data = write_clip(path, 12).read_bytes()
    for percent in range(step, 100, step):
        path.write_bytes(data[: len(data) * percent // 100])
        try:
            with open_video(path, IN_PROCESS) as video:
                assert video.truncated and len(list(video)) == 12, percent  # only what follows the index is missing
        except VideoError as error:
            assert error.code in ("video-no-frames", "unsupported-format"), percent
            assert "cut off" in str(error) or percent < 5, percent


@pytest.mark.parametrize("step", [pytest.param(25), pytest.param(5, marks=pytest.mark.slow)])
def test_half_an_upload_changes_nothing(step: int, tmp_path: Path, wait: Callable[[Any], None]) -> None:
    content = (
        b'{"images": [{"id": 1, "height": 40, "width": 60, "file_name": "a.png"}], "categories": [], "annotations": '
        b'[{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[5, 5, 20, 5, 20, 20]]}]}'
    )
    with open_session(tmp_path) as session, closing(Server(Site(session.studio, Clients()), Access())) as server:
        before, cookie = session.project.seq, enter(server)
        head = (
            f"POST /imports/{FIRST}?name=a.json HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nCookie: {cookie}\r\n"
            f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        ).encode()
        for percent in range(0, 100, step):
            with closing(socket.create_connection(("127.0.0.1", server.port), 60)) as connection:
                connection.sendall(head + content[: len(content) * percent // 100])
        with closing(socket.create_connection(("127.0.0.1", server.port), 60)) as connection:
            connection.sendall(head + content)  # a whole one is imported, after the halves
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        wait(lambda: session.project.seq > before)
        assert session.project.undo_label is not None
        session.project.undo()
        assert session.project.undo_label is None  # it was imported once


@pytest.fixture
def wait() -> Callable[[Any], None]:
    """Return a function that waits until a condition holds."""

    def until(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    return until
