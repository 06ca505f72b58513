"""Downloads from a faulty server: the file appears complete and verified, or not at all."""

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
    Behavior,
    fail_with,
    ignore_range,
    redirect_to,
    send_correctly,
    send_half,
    send_half_and_stall,
    send_late,
    send_login_page,
    send_longer_file,
    send_longer_without_length,
    send_nothing,
    send_without_length,
    send_wrong_byte,
    send_wrong_range,
    serve,
)

CONTENT = np.random.default_rng(1).bytes(200_000)
QUICK = RetryPolicy(timeout_s=0.3, max_attempts=3, pause_s=0.01)


def make_remote_file(url: str) -> RemoteFile:
    return RemoteFile(
        f"{url}/model.pt", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "copy it from another machine"
    )


def download_ranges(path: Path, *script: Behavior) -> list[str | None]:
    """Download the file, check its content and return the requested ranges."""
    with serve(CONTENT, *script) as server:
        assert download(make_remote_file(server.url), path, retry_policy=QUICK) == path
        assert path.read_bytes() == CONTENT
        return server.ranges


def fail_download(path: Path, *script: Behavior) -> tuple[MaskletError, int]:
    """Fail to download, check that the file does not exist, and return the error and the number of requests."""
    with serve(CONTENT, *script) as server:
        with pytest.raises(MaskletError) as failure:
            download(make_remote_file(server.url), path, retry_policy=QUICK)
        assert not path.exists()
        return failure.value, len(server.ranges)


def write_part(path: Path, content: bytes) -> None:
    """Write the partial file of an interrupted download."""
    path.with_name(f"{path.name}.part").write_bytes(content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the download in a folder that does not exist."""
    return tmp_path / "models" / "model.pt"


@pytest.fixture
def path_in_folder(path: Path) -> Path:
    """The path of the download in a folder that exists."""
    path.parent.mkdir()
    return path


def test_a_download_leaves_only_the_file_and_its_lock(path: Path) -> None:
    assert download_ranges(path, send_correctly) == [None]
    assert {entry.name for entry in path.parent.iterdir()} == {"model.pt", ".model.pt.lock"}


def test_progress_ascends_to_the_size_of_the_file(path: Path) -> None:
    reports: list[tuple[int, int]] = []
    with serve(CONTENT, send_half, send_correctly) as server:
        download(make_remote_file(server.url), path, lambda done, total: reports.append((done, total)), QUICK)
    assert reports == sorted(reports) and reports[-1] == (len(CONTENT), len(CONTENT))


def test_an_interrupted_response_is_resumed(path: Path) -> None:
    assert download_ranges(path, send_half, send_half, send_correctly) == [None, "bytes=100000-", "bytes=150000-"]


def test_the_partial_file_of_another_run_is_resumed(path_in_folder: Path) -> None:
    write_part(path_in_folder, CONTENT[:70_000])
    assert download_ranges(path_in_folder, send_correctly) == ["bytes=70000-"]


def test_a_complete_partial_file_needs_no_request(path_in_folder: Path) -> None:
    write_part(path_in_folder, CONTENT)
    assert download_ranges(path_in_folder, fail_with(404)) == []


def test_a_server_without_ranges_sends_the_file_from_the_start(path_in_folder: Path) -> None:
    write_part(path_in_folder, CONTENT[:70_000])
    assert download_ranges(path_in_folder, ignore_range) == ["bytes=70000-"]


@pytest.mark.parametrize("content", [b"other" * 1000, b"x" * len(CONTENT), CONTENT + b"more"])
def test_the_partial_file_of_another_file_is_discarded(path_in_folder: Path, content: bytes) -> None:
    write_part(path_in_folder, content)
    assert download_ranges(path_in_folder, send_correctly)[-1] is None


def test_a_refused_range_is_requested_from_the_start(path_in_folder: Path) -> None:
    write_part(path_in_folder, CONTENT[:70_000])
    assert download_ranges(path_in_folder, fail_with(416), send_correctly) == ["bytes=70000-", None]


def test_a_stalled_response_is_resumed_after_the_timeout(path: Path) -> None:
    start = time.monotonic()
    assert download_ranges(path, send_half_and_stall, send_correctly) == [None, "bytes=100000-"]
    assert time.monotonic() - start < 10


def test_a_server_that_never_responds_is_abandoned(path: Path) -> None:
    error, requests = fail_download(path, send_nothing)
    assert (error.code, error.retryable, requests) == ("download-failed", True, 3)


def test_a_server_that_always_disconnects_at_the_same_byte_is_abandoned(path: Path) -> None:
    def disconnect(handler: object) -> None:
        handler.respond(200, CONTENT[:1000], Content_Length=str(len(CONTENT)))  # type: ignore[attr-defined]

    error, requests = fail_download(path, disconnect)
    assert (error.code, requests) == ("download-failed", 4)  # one that receives bytes, three that do not
    assert "1000 of 200000 bytes" in error.message


def test_a_server_that_is_busy_twice_gets_a_third_request(path: Path) -> None:
    assert len(download_ranges(path, fail_with(500), fail_with(503), send_correctly)) == 3


def test_a_server_that_stays_busy_is_abandoned(path: Path) -> None:
    error, requests = fail_download(path, fail_with(503))
    assert (error.code, requests) == ("download-failed", 3) and "503" in error.message


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_client_error_is_not_retried(path: Path, status: int) -> None:
    error, requests = fail_download(path, fail_with(status))
    assert (error.code, requests) == ("download-failed", 1) and str(status) in error.message
    assert error.hint == "copy it from another machine"


def test_a_web_page_is_refused(path: Path) -> None:
    error, requests = fail_download(path, send_login_page)
    assert (error.code, requests) == ("download-failed", 1) and "web page" in error.message


@pytest.mark.parametrize("behavior", [send_longer_file, send_longer_without_length])
def test_a_file_of_another_size_is_refused(path: Path, behavior: Behavior) -> None:
    error, _ = fail_download(path, behavior)
    assert error.code in ("download-failed", "hash-mismatch")


def test_a_file_without_content_length_is_downloaded(path: Path) -> None:
    assert download_ranges(path, send_without_length) == [None]


def test_a_file_with_one_wrong_byte_is_refused_and_removed(path: Path) -> None:
    error, _ = fail_download(path, send_wrong_byte)
    assert (error.code, error.exit_status) == ("hash-mismatch", 77)
    assert {entry.name for entry in path.parent.iterdir()} == {".model.pt.lock"}


def test_a_range_other_than_the_requested_one_is_refused(path_in_folder: Path) -> None:
    write_part(path_in_folder, CONTENT[:70_000])
    error, _ = fail_download(path_in_folder, send_wrong_range)
    assert error.code == "download-failed"


def test_an_unencrypted_redirect_to_another_server_is_refused(path: Path) -> None:
    with serve(CONTENT, send_correctly) as other:
        error, requests = fail_download(path, redirect_to(f"{other.url}/model.pt"))
        assert other.ranges == []
    assert (error.code, requests) == ("download-failed", 1) and "https" in error.message


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_to_another_protocol_is_refused(path: Path, url: str) -> None:
    error, _ = fail_download(path, redirect_to(url))
    assert error.code == "download-failed"


def test_a_redirect_within_the_server_is_followed(path: Path) -> None:
    assert download_ranges(path, redirect_to("/there"), send_correctly) == [None, None]


def test_without_network_the_error_has_the_hint(path: Path) -> None:
    with serve(CONTENT, send_correctly) as server:
        closed = server.url
    with pytest.raises(MaskletError) as failure:
        download(make_remote_file(closed), path, retry_policy=QUICK)
    assert failure.value.code == "network-unavailable" and failure.value.hint == "copy it from another machine"


def test_concurrent_threads_download_once(path: Path) -> None:
    with serve(CONTENT, send_late) as server, ThreadPoolExecutor(4) as pool:
        file = make_remote_file(server.url)
        assert list(pool.map(lambda _: download(file, path, retry_policy=QUICK), range(4))) == [path] * 4
        assert server.ranges == [None]


def test_concurrent_processes_download_once(path: Path) -> None:
    with serve(CONTENT, send_late) as server:
        file = make_remote_file(server.url)
        program = f"""
from pathlib import Path
from masklet.checkpoints.download import RemoteFile, download
download(RemoteFile({file.url!r}, {file.size_bytes}, {file.sha256!r}), Path({str(path)!r}))"""
        processes = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(2)]
        assert [process.wait(30) for process in processes] == [0, 0]
        assert server.ranges == [None] and path.read_bytes() == CONTENT


def test_without_file_locks_each_thread_downloads_its_own_copy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, *, wait: bool) -> bool:
        raise LockingUnsupported(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("masklet.files.lock._try_lock", refuse)
    with serve(CONTENT, send_late) as server, ThreadPoolExecutor(3) as pool:
        file = make_remote_file(server.url)
        list(pool.map(lambda _: download(file, path, retry_policy=QUICK), range(3)))
        assert len(server.ranges) == 3
    assert path.read_bytes() == CONTENT
    assert {entry.name for entry in path.parent.iterdir()} == {"model.pt", ".model.pt.lock"}


def test_a_full_disk_is_reported_before_the_first_request(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))  # type: ignore[attr-defined]
    error, requests = fail_download(path, send_correctly)
    assert (error.code, requests) == ("disk-full", 0)
    assert error.context == {"needed": len(CONTENT), "free": 1000}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_reported(path_in_folder: Path) -> None:
    path_in_folder.with_name("model.pt.part").symlink_to("/dev/full")
    error, _ = fail_download(path_in_folder, send_correctly)
    assert (error.code, error.exit_status) == ("disk-full", 74)


def test_an_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file in place of the folder")
    with serve(CONTENT, send_correctly) as server, pytest.raises(MaskletError) as failure:
        download(make_remote_file(server.url), tmp_path / "models" / "model.pt", retry_policy=QUICK)
    assert failure.value.code == "output-unwritable"


def make_unsized_file(url: str, content: bytes = CONTENT) -> RemoteFile:
    """A file as EdgeTAM's: its size is unknown, and its hash is Git's."""
    return RemoteFile(
        f"{url}/model.pt", None, "", git_blob=hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    )


@pytest.mark.parametrize("faults", [[], [fail_with(503), send_nothing]])
def test_a_file_of_unknown_size_is_complete_by_the_size_that_the_server_states(
    tmp_path: Path, faults: list[Behavior]
) -> None:
    reports: list[tuple[int, int]] = []
    with serve(CONTENT, *faults, send_correctly, send_half, send_correctly) as server:
        file = make_unsized_file(server.url)
        download(file, tmp_path / "a.pt", lambda *report: reports.append(report), QUICK)
    assert (tmp_path / "a.pt").read_bytes() == CONTENT
    assert reports[-1] == (len(CONTENT), len(CONTENT))
    assert server.ranges == [None] * (len(faults) + 2) + [f"bytes={len(CONTENT) // 2}-"]


def test_a_file_with_another_git_blob_hash_is_refused(tmp_path: Path) -> None:
    with serve(CONTENT, send_correctly) as server, pytest.raises(MaskletError, match="git blob hash") as failure:
        download(make_unsized_file(server.url, b"other"), tmp_path / "a.pt", retry_policy=QUICK)
    assert failure.value.code == "hash-mismatch" and not (tmp_path / "a.pt").exists()


@pytest.mark.parametrize(
    ("behavior", "code"),
    [
        (send_without_length, "download-failed"),
        (send_login_page, "download-failed"),
        (fail_with(404), "download-failed"),
        (fail_with(503), "download-failed"),
    ],
)
def test_a_file_without_any_size_is_refused(tmp_path: Path, behavior: Behavior, code: str) -> None:
    with serve(CONTENT, behavior) as server, pytest.raises(MaskletError) as failure:
        download(make_unsized_file(server.url), tmp_path / "a.pt", retry_policy=QUICK)
    assert failure.value.code == code and not (tmp_path / "a.pt").exists()
