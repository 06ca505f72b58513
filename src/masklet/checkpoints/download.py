"""Checkpoint download: HTTP with resume, retries, a hash check and an atomic rename."""

from __future__ import annotations

import http.client
import secrets
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from masklet.errors import CheckpointError, MaskletError, ResourceError, StateError
from masklet.files.atomic import move_into_place
from masklet.files.error_translation import translate_write_errors
from masklet.files.hashing import git_blob_hash_of_file, sha256_of_file
from masklet.files.lock import Lock, LockingUnsupported

Progress = Callable[[int, int], None]
"""`progress(done, total)`, in bytes."""

_MIN_FREE_BYTES = 64 << 20  # left free on the disk after the download
_CHUNK_BYTES = 1 << 20
_RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE_NOT_SATISFIABLE = 416
_HOME_HINT = "set MASKLET_HOME to another folder"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to download.

    Attributes:
        url: Its address.
        size_bytes: The exact size; None if only the server knows it.
        sha256: The hash of the content, in hexadecimal digits; empty if it is unknown.
        hint: The hint of the errors that a failed download raises.
        git_blob: Git's hash of the content; empty if it is unknown.
    """

    url: str
    size_bytes: int | None
    sha256: str
    hint: str = ""
    git_blob: str = ""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Timeout and retries of a download. An attempt that receives at least one byte does not count as failed.

    Attributes:
        timeout_s: Seconds without a byte after which an attempt is abandoned.
        max_attempts: Failed attempts in a row before the download is abandoned.
        pause_s: Seconds before the next attempt, doubled after each failure.
    """

    timeout_s: float = 20.0
    max_attempts: int = 3
    pause_s: float = 0.5


DEFAULT_RETRY_POLICY = RetryPolicy()


def download(
    file: RemoteFile, path: Path, progress: Progress | None = None, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY
) -> Path:
    """Download a file to `path`, unless another process does so at the same time: then wait for it.

    The content is collected in `<path>.part`, and an interrupted download resumes there. If the resumed file has
    another hash, it is downloaded once more from the start.

    Args:
        file: The address, size and hash.
        path: The path of the downloaded file. Its folder is created if missing.
        progress: Called after each chunk with the bytes received so far and the total.
        retry_policy: Timeout and retries.

    Returns:
        `path`.

    Raises:
        ResourceError: `network-unavailable`, `download-failed`, `disk-full` or `output-unwritable`.
        CheckpointError: `hash-mismatch`. The server has another file.
    """
    with _translate_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock_part(path) as part:
            if not path.exists():
                _download_part(file, part, progress or _ignore_progress, retry_policy)
                move_into_place(part, path)
    return path


def _ignore_progress(done: int, total: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class _SizedFile(RemoteFile):
    """A file to download whose size is known."""

    size_bytes: int


def _download_part(file: RemoteFile, part: Path, progress: Progress, retry_policy: RetryPolicy) -> None:
    """Complete the partial file and check its hash."""
    is_resumed = _size_of(part) > 0
    sized = _find_size(file, part, retry_policy)
    _fetch_remaining(sized, part, progress, retry_policy)
    if is_resumed and _find_difference(file, part):  # the partial file was the start of another file
        part.unlink()
        _fetch_remaining(sized, part, progress, retry_policy)
    if difference := _find_difference(file, part):
        part.unlink()
        raise CheckpointError("hash-mismatch", f"{file.url} is another file: {difference}", hint=file.hint)


def _find_difference(file: RemoteFile, part: Path) -> str:
    """Compare the hashes of a downloaded file. Returns a description of the difference, or an empty text."""
    for kind, expected, compute in (
        ("SHA-256", file.sha256, sha256_of_file),
        ("git blob hash", file.git_blob, git_blob_hash_of_file),
    ):
        if expected and (digest := compute(part)) != expected:
            return f"its {kind} is {digest}, not {expected}"
    return ""


def _find_size(file: RemoteFile, part: Path, retry_policy: RetryPolicy) -> _SizedFile:
    """Return the file with its size, which the server is asked for if it is unknown."""
    size: int | None = file.size_bytes
    failures = 0
    while size is None:
        try:
            size = _request_size(file, retry_policy.timeout_s)
        except MaskletError:
            raise
        except (OSError, http.client.HTTPException) as cause:
            error, failures = _explain_failure(file, cause, part), failures + 1
            if failures >= retry_policy.max_attempts:
                raise error from cause
            time.sleep(retry_policy.pause_s * 2 ** (failures - 1))
    return _SizedFile(file.url, size, file.sha256, file.hint, file.git_blob)


def _request_size(file: RemoteFile, timeout_s: float) -> int:
    """Read the size of a file from the header of a response, without its body."""
    with _open(file, timeout_s) as response:
        _refuse_web_page(file, response)
        length = response.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise _make_error("download-failed", file, "has no stated size; use another mirror")
        return int(length)


def _fetch_remaining(file: _SizedFile, part: Path, progress: Progress, retry_policy: RetryPolicy) -> None:
    """Send requests until the partial file has its full size or too many in a row fail."""
    failures = 0
    while (size := _size_of(part)) < file.size_bytes:
        _check_free_space(part, file.size_bytes - size)
        error = _request_remaining(file, part, progress, retry_policy.timeout_s)
        failures = failures + 1 if _size_of(part) <= size else 0
        if error and failures >= retry_policy.max_attempts:
            raise error
        if error:
            time.sleep(retry_policy.pause_s * 2**failures)


def _request_remaining(file: _SizedFile, part: Path, progress: Progress, timeout_s: float) -> ResourceError | None:
    """Send one request for the remaining bytes. Return an error that a retry may cure, and raise any other."""
    try:
        with _open(file, timeout_s, _size_of(part)) as response:
            _write_body(file, response, part, progress)
    except MaskletError:
        raise
    except (OSError, http.client.HTTPException) as cause:
        return _explain_failure(file, cause, part)
    if (size := _size_of(part)) < file.size_bytes:
        return _make_error("download-failed", file, f"ended after {size} of {file.size_bytes} bytes")
    return None


def _open(file: RemoteFile, timeout_s: float, start: int = 0) -> Any:
    """Request a file from the byte `start` on."""
    headers = {"User-Agent": "masklet", "Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    return _OPENER.open(urllib.request.Request(file.url, headers=headers), timeout=timeout_s)


def _explain_failure(file: RemoteFile, cause: BaseException, part: Path) -> ResourceError:
    """Return the error of a failed request that a retry may cure, and raise that of any other."""
    if isinstance(cause, urllib.error.HTTPError):
        return _handle_error_status(file, cause, part)
    if isinstance(cause, urllib.error.URLError):
        return _make_error("network-unavailable", file, f"cannot be reached: {_describe(cause.reason)}")
    received = f"{_size_of(part)} of {file.size_bytes or 'unknown'} bytes"
    return _make_error("download-failed", file, f"disconnected after {received}: {_describe(cause)}")


def _write_body(file: _SizedFile, response: Any, part: Path, progress: Progress) -> None:
    """Write the body of a response into the partial file, at the position that the response states."""
    done = _find_start(file, response, part)
    with _translate_disk_errors(part):
        handle = part.open("r+b" if done else "wb")
    with handle:
        handle.seek(done)
        while done < file.size_bytes and (chunk := response.read1(_CHUNK_BYTES)):
            with _translate_disk_errors(part):
                handle.write(chunk)
                handle.flush()
            done += len(chunk)
            progress(done, file.size_bytes)
    if done > file.size_bytes:
        part.unlink()
        raise _make_error("download-failed", file, f"has more than {file.size_bytes} bytes; it is another file")


def _find_start(file: _SizedFile, response: Any, part: Path) -> int:
    """Return the position of the body's first byte in the file. Raise `ResourceError` for a body of another file."""
    _refuse_web_page(file, response)
    start, total = 0, response.headers.get("Content-Length")
    if response.status == http.client.PARTIAL_CONTENT:
        start = _size_of(part)
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if span.partition("-")[0] != str(start):
            message = f"returned the bytes {span!r} to a request for the bytes from {start}"
            raise _make_error("download-failed", file, message)
    if total not in (None, "*", str(file.size_bytes)):
        raise _make_error("download-failed", file, f"has {total} bytes, not {file.size_bytes}; it is another file")
    return start


def _refuse_web_page(file: RemoteFile, response: Any) -> None:
    if response.headers.get_content_type() == "text/html":
        raise _make_error("download-failed", file, "returned a web page, perhaps a login page, instead of the file")


def _handle_error_status(file: RemoteFile, response: urllib.error.HTTPError, part: Path) -> ResourceError:
    """Return the error of a status that a retry may cure, and raise that of any other."""
    response.close()
    error = _make_error("download-failed", file, f"returned status {response.code} {response.reason}")
    if response.code == _RANGE_NOT_SATISFIABLE:  # the partial file is longer than the file, so it is of another one
        part.unlink(missing_ok=True)
    elif response.code not in _RETRY_STATUSES:
        raise error
    return error


def _describe(cause: BaseException | str) -> str:
    return getattr(cause, "strerror", None) or str(cause) or "no response"


def _make_error(code: str, file: RemoteFile, problem: str) -> ResourceError:
    return ResourceError(code, f"{file.url} {problem}", hint=file.hint, url=file.url)


class _RedirectHandler(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https and within one server; an unencrypted one to another server could be tampered with."""

    def redirect_request(
        self, request: urllib.request.Request, body: IO[bytes], code: int, reason: str, headers: Any, url: str
    ) -> urllib.request.Request | None:
        """Return the request to send instead."""
        old, new = urlsplit(request.full_url), urlsplit(url)
        if new.scheme != "https" and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            message = f"{request.full_url} redirects to {url}, which is not https; use another mirror"
            raise ResourceError("download-failed", message)
        return super().redirect_request(request, body, code, reason, headers, url)


_OPENER = urllib.request.build_opener(_RedirectHandler)


@contextmanager
def _lock_part(path: Path) -> Iterator[Path]:
    """Lock the partial file of a download and give its path. Other processes wait here.

    Where the file system has no locks, or another process holds the lock for too long, this process gets a partial
    file of its own, which is removed at the end.
    """
    lock = None
    with suppress(LockingUnsupported, StateError):
        lock = Lock(path.with_name(f".{path.name}.lock"), wait=True)
    if lock is not None:
        with lock:
            yield path.with_name(f"{path.name}.part")
        return
    private_part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        yield private_part
    finally:
        private_part.unlink(missing_ok=True)


def _check_free_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed + _MIN_FREE_BYTES:
        message = f"{part.parent}: {needed} more bytes and a reserve of {_MIN_FREE_BYTES} are needed, {free} are free"
        raise ResourceError("disk-full", f"{message}; free some space", hint=_HOME_HINT, needed=needed, free=free)


def _translate_disk_errors(path: Path) -> AbstractContextManager[None]:
    return translate_write_errors(path, hint=_HOME_HINT, other="output-unwritable")


def _size_of(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
