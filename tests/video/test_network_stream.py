"""Network streams from a server on the loopback interface."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from masklet.errors import MaskletError, ResourceError, VideoError
from masklet.video import stream
from masklet.video.cameras import CameraOptions
from support.clips import read_number, write_clip

QUICK = CameraOptions(timeout_s=1.0, max_reconnects=1, connect_timeout_s=3.0)


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def web_folder(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which it is served."""

    def handler(*arguments: Any) -> QuietHandler:
        return QuietHandler(*arguments, directory=str(tmp_path))

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_file_on_a_server_gives_all_its_frames_and_ends(web_folder: tuple[Path, str]) -> None:
    folder, address = web_folder
    write_clip(folder / "a.mp4", 12, options={"bf": "2"})
    video = stream(f"{address}/a.mp4", QUICK)
    frames = list(video)
    assert [read_number(frame.image) for frame in frames] == list(range(12))
    assert [round(frame.time or 0, 3) for frame in frames] == [round(index / 10, 3) for index in range(12)]


def test_a_playlist_on_a_server_is_played(web_folder: tuple[Path, str]) -> None:
    folder, address = web_folder
    write_clip(folder / "a.ts", 12)
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\na.ts\n#EXT-X-ENDLIST\n")
    assert len(list(stream(f"{address}/list.m3u8", QUICK))) == 12


def test_a_playlist_on_a_server_cannot_read_local_files(web_folder: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = web_folder
    secret = write_clip(tmp_path / "secret.ts", 12)
    (folder / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(ResourceError) as caught:
        list(stream(f"{address}/list.m3u8", QUICK))
    assert caught.value.code in {"camera-not-found", "camera-lost"}


@pytest.mark.parametrize("address", ["/etc/passwd", "file:///a.mp4", "concat:a|b", "a.mp4"])
def test_an_address_of_another_scheme_is_refused(address: str) -> None:
    with pytest.raises(VideoError) as caught:
        stream(address)
    assert caught.value.code == "reference-file-refused"


def test_a_missing_server_is_reported() -> None:
    with pytest.raises(MaskletError, match="127") as caught:
        stream("http://127.0.0.1:9/a.mp4", QUICK)
    assert caught.value.code == "camera-not-found"


class SilentHandler(BaseHTTPRequestHandler):
    """Does not respond for five seconds."""

    def do_GET(self) -> None:
        time.sleep(5)

    def log_message(self, *_: Any) -> None: ...


def test_a_server_that_does_not_respond_is_abandoned() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), SilentHandler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        start = time.monotonic()
        with pytest.raises(ResourceError):
            stream(f"http://127.0.0.1:{server.server_port}/a.mp4", CameraOptions(connect_timeout_s=0.5))
        assert time.monotonic() - start < 3
        server.shutdown()
