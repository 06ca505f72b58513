"""A download is whole and right, or not there, whatever the server does."""

from __future__ import annotations

import errno
import hashlib
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from masklet.checkpoints.download import RemoteFile, RetryPolicy, download
from masklet.errors import MaskletError
from masklet.files.lock import LockingUnsupported
from support.faulty_server import (
    Behaviour,
    corrupt,
    elsewhere,
    endless,
    failing,
    half,
    leading,
    longer,
    page,
    serving,
    silent,
    slow,
    stalling,
    untold,
    well,
    whole,
)

CONTENT = np.random.default_rng(1).bytes(200_000)
HURRY = RetryPolicy(timeout_s=0.3, max_attempts=3, pause_s=0.01)


def source(url: str) -> RemoteFile:
    return RemoteFile(f"{url}/model.pt", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "ask a friend")


def ranges(path: Path, *script: Behaviour) -> list[str | None]:
    """Download and check the content; returns which ranges were asked for."""
    with serving(CONTENT, *script) as server:
        assert download(source(server.url), path, retry_policy=HURRY) == path
        assert path.read_bytes() == CONTENT
        return server.ranges


def refusal(path: Path, *script: Behaviour) -> tuple[MaskletError, int]:
    """Fail to download; returns the error and how many requests were made. Nothing has the final name."""
    with serving(CONTENT, *script) as server:
        with pytest.raises(MaskletError) as failure:
            download(source(server.url), path, retry_policy=HURRY)
        assert not path.exists()
        return failure.value, len(server.ranges)


def leave(path: Path, content: bytes) -> None:
    """What an interrupted download leaves."""
    path.with_name(f"{path.name}.part").write_bytes(content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "models" / "model.pt"


@pytest.fixture
def folder(path: Path) -> Path:
    path.parent.mkdir()
    return path


def test_a_file_is_downloaded_and_nothing_else_is_left(path: Path) -> None:
    assert ranges(path, well) == [None]
    assert {left.name for left in path.parent.iterdir()} == {"model.pt", ".model.pt.lock"}


def test_progress_counts_the_bytes_up_to_all_of_them(path: Path) -> None:
    told: list[tuple[int, int]] = []
    with serving(CONTENT, half, well) as server:
        download(source(server.url), path, lambda done, total: told.append((done, total)), HURRY)
    assert told == sorted(told) and told[-1] == (len(CONTENT), len(CONTENT))


def test_an_answer_that_breaks_off_is_continued(path: Path) -> None:
    assert ranges(path, half, half, well) == [None, "bytes=100000-", "bytes=150000-"]


def test_what_another_run_left_is_continued(folder: Path) -> None:
    leave(folder, CONTENT[:70_000])
    assert ranges(folder, well) == ["bytes=70000-"]


def test_a_complete_part_needs_no_network(folder: Path) -> None:
    leave(folder, CONTENT)
    assert ranges(folder, failing(404)) == []


def test_a_server_without_ranges_is_asked_from_the_start(folder: Path) -> None:
    leave(folder, CONTENT[:70_000])
    assert ranges(folder, whole) == ["bytes=70000-"]


@pytest.mark.parametrize("left", [b"other" * 1000, b"x" * len(CONTENT), CONTENT + b"more"])
def test_the_beginning_of_something_else_is_thrown_away(folder: Path, left: bytes) -> None:
    leave(folder, left)
    assert ranges(folder, well)[-1] is None


def test_a_range_that_is_refused_is_asked_from_the_start(folder: Path) -> None:
    leave(folder, CONTENT[:70_000])
    assert ranges(folder, failing(416), well) == ["bytes=70000-", None]


def test_silence_is_given_up_and_the_rest_fetched(path: Path) -> None:
    begin = time.monotonic()
    assert ranges(path, stalling, well) == [None, "bytes=100000-"]
    assert time.monotonic() - begin < 10


def test_a_server_that_never_answers_is_given_up(path: Path) -> None:
    error, requests = refusal(path, silent)
    assert (error.code, error.retryable, requests) == ("download-failed", True, 3)


def test_a_server_that_always_breaks_off_at_the_same_place_is_given_up(path: Path) -> None:
    def stubborn(handler: object) -> None:
        handler.answer(200, CONTENT[:1000], Content_Length=str(len(CONTENT)))  # type: ignore[attr-defined]

    error, requests = refusal(path, stubborn)
    assert (error.code, requests) == ("download-failed", 4)  # one that brings something, three that do not
    assert "1000 of 200000 bytes" in error.message


def test_a_server_that_is_busy_twice_is_asked_a_third_time(path: Path) -> None:
    assert len(ranges(path, failing(500), failing(503), well)) == 3


def test_a_server_that_stays_busy_is_given_up(path: Path) -> None:
    error, requests = refusal(path, failing(503))
    assert (error.code, requests) == ("download-failed", 3) and "503" in error.message


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final(path: Path, status: int) -> None:
    error, requests = refusal(path, failing(status))
    assert (error.code, requests) == ("download-failed", 1) and str(status) in error.message
    assert error.hint == "ask a friend"


def test_a_web_page_is_not_taken_for_the_file(path: Path) -> None:
    error, requests = refusal(path, page)
    assert (error.code, requests) == ("download-failed", 1) and "web page" in error.message


@pytest.mark.parametrize("behaviour", [longer, endless])
def test_a_file_of_another_size_is_refused(path: Path, behaviour: Behaviour) -> None:
    error, _ = refusal(path, behaviour)
    assert error.code in ("download-failed", "hash-mismatch")


def test_a_file_whose_length_is_not_told_is_taken(path: Path) -> None:
    assert ranges(path, untold) == [None]


def test_a_file_with_one_wrong_byte_is_refused_and_not_kept(path: Path) -> None:
    error, _ = refusal(path, corrupt)
    assert (error.code, error.exit_status) == ("hash-mismatch", 77)
    assert {left.name for left in path.parent.iterdir()} == {".model.pt.lock"}


def test_other_bytes_than_asked_for_are_refused(folder: Path) -> None:
    leave(folder, CONTENT[:70_000])
    error, _ = refusal(folder, elsewhere)
    assert error.code == "download-failed"


def test_a_redirection_to_another_server_without_encryption_is_refused(path: Path) -> None:
    with serving(CONTENT, well) as other:
        error, requests = refusal(path, leading(f"{other.url}/model.pt"))
        assert other.ranges == []
    assert (error.code, requests) == ("download-failed", 1) and "https" in error.message


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirection_out_of_the_web_is_refused(path: Path, url: str) -> None:
    error, _ = refusal(path, leading(url))
    assert error.code == "download-failed"


def test_a_redirection_within_the_server_is_followed(path: Path) -> None:
    assert ranges(path, leading("/there"), well) == [None, None]


def test_whoever_is_alone_in_the_dark_is_told_what_to_do(path: Path) -> None:
    with serving(CONTENT, well) as server:
        closed = server.url
    with pytest.raises(MaskletError) as failure:
        download(source(closed), path, retry_policy=HURRY)
    assert failure.value.code == "network-unavailable" and failure.value.hint == "ask a friend"


def test_many_at_once_download_once(path: Path) -> None:
    with serving(CONTENT, slow) as server, ThreadPoolExecutor(4) as pool:
        wanted = source(server.url)
        assert list(pool.map(lambda _: download(wanted, path, retry_policy=HURRY), range(4))) == [path] * 4
        assert server.ranges == [None]


def test_two_processes_at_once_download_once(path: Path) -> None:
    with serving(CONTENT, slow) as server:
        wanted = source(server.url)
        program = f"""
from pathlib import Path
from masklet.checkpoints.download import RemoteFile, download
download(RemoteFile({wanted.url!r}, {wanted.size_bytes}, {wanted.sha256!r}), Path({str(path)!r}))"""
        running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(2)]
        assert [process.wait(30) for process in running] == [0, 0]
        assert server.ranges == [None] and path.read_bytes() == CONTENT


def test_without_locks_everyone_downloads_apart(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, *, wait: bool) -> bool:
        raise LockingUnsupported(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("masklet.files.lock._take", refuse)
    with serving(CONTENT, slow) as server, ThreadPoolExecutor(3) as pool:
        wanted = source(server.url)
        list(pool.map(lambda _: download(wanted, path, retry_policy=HURRY), range(3)))
        assert len(server.ranges) == 3
    assert path.read_bytes() == CONTENT
    assert {left.name for left in path.parent.iterdir()} == {"model.pt", ".model.pt.lock"}


def test_a_disk_without_room_is_noticed_before_anything_is_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))  # type: ignore[attr-defined]
    error, requests = refusal(path, well)
    assert (error.code, requests) == ("disk-full", 0)
    assert error.context == {"needed": len(CONTENT), "free": 1000}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_becomes_full_is_said_to_be_full(folder: Path) -> None:
    folder.with_name("model.pt.part").symlink_to("/dev/full")
    error, _ = refusal(folder, well)
    assert (error.code, error.exit_status) == ("disk-full", 74)


def test_a_place_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")
    with serving(CONTENT, well) as server, pytest.raises(MaskletError) as failure:
        download(source(server.url), tmp_path / "models" / "model.pt", retry_policy=HURRY)
    assert failure.value.code == "output-unwritable"
