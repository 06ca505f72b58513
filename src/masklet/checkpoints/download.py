"""Downloads a file of known size and SHA-256, however bad the line: it appears whole and right, or not at all."""

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
from masklet.files.hashing import sha256_of_file
from masklet.files.lock import Lock, LockingUnsupported
from masklet.files.translate import translate_write_errors

Progress = Callable[[int, int], None]
"""`progress(done, total)`, in bytes."""

_MIN_FREE_BYTES = 64 << 20  # bytes to leave free on the disk
_PIECE = 1 << 20  # bytes at a time
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})  # answers that may be better at the next try
_RANGE_REFUSED = 416
_ELSEWHERE = "MASKLET_HOME names another place"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """Where a file is, what it must be, and what a person can do who does not get it."""

    url: str
    size_bytes: int
    sha256: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to put up with a bad line. Attempts that bring something do not count."""

    timeout_s: float = 20.0  # seconds without a byte until an attempt is given up
    max_attempts: int = 3  # in a row that bring nothing
    pause_s: float = 0.5  # seconds before the next attempt, doubled each time


DEFAULT_RETRY_POLICY = RetryPolicy()


def download(
    source: RemoteFile, path: Path, progress: Progress | None = None, retry_policy: RetryPolicy = DEFAULT_RETRY_POLICY
) -> Path:
    """Fetch the file to `path`, or take what another process puts there meanwhile.

    What an earlier attempt left in `<path>.part` is continued. If that does not make the right file, it is fetched once
    more from the start.

    Raises `ResourceError` (`network-unavailable`, `download-failed`, `disk-full`, `output-unwritable`) or
    `CheckpointError` (`hash-mismatch`).
    """
    with _translate_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path) as part:
            if not path.exists():
                _complete(source, part, progress or _silent, retry_policy)
                move_into_place(part, path)
    return path


def _silent(done: int, total: int) -> None:
    pass


def _complete(source: RemoteFile, part: Path, progress: Progress, patience: RetryPolicy) -> None:
    """Fills the partial file until it is the right one."""
    continued = _size(part) > 0
    _fetch(source, part, progress, patience)
    if continued and sha256_of_file(part) != source.sha256:  # it was the beginning of something else
        part.unlink()
        _fetch(source, part, progress, patience)
    if (found := sha256_of_file(part)) != source.sha256:
        part.unlink()
        raise CheckpointError(
            "hash-mismatch",
            f"{source.url} is another file: its SHA-256 is {found}, not {source.sha256}",
            hint=source.hint,
        )


def _fetch(source: RemoteFile, part: Path, progress: Progress, patience: RetryPolicy) -> None:
    """Attempts until the partial file has its size, or until too many in a row bring nothing."""
    in_vain = 0
    while (have := _size(part)) < source.size_bytes:
        _check_space(part, source.size_bytes - have)
        fault = _attempt(source, part, progress, patience.timeout_s)
        in_vain = in_vain + 1 if _size(part) <= have else 0
        if fault and in_vain >= patience.max_attempts:
            raise fault
        if fault:
            time.sleep(patience.pause_s * 2**in_vain)


def _attempt(source: RemoteFile, part: Path, progress: Progress, silence: float) -> ResourceError | None:
    """One request. Returns what may be better at the next; raises what will not."""
    have = _size(part)
    headers = {"User-Agent": "masklet", "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with _OPENER.open(urllib.request.Request(source.url, headers=headers), timeout=silence) as response:
            _receive(source, response, part, progress)
    except MaskletError:
        raise
    except urllib.error.HTTPError as answer:
        return _answered(source, answer, part)
    except urllib.error.URLError as cause:
        return _fault("network-unavailable", source, f"cannot be reached: {_reason(cause.reason)}")
    except (OSError, http.client.HTTPException) as cause:
        return _fault(
            "download-failed", source, f"broke off after {_size(part)} of {source.size_bytes} bytes: {_reason(cause)}"
        )
    short = _size(part) < source.size_bytes
    return (
        _fault("download-failed", source, f"ended after {_size(part)} of {source.size_bytes} bytes") if short else None
    )


def _receive(source: RemoteFile, response: Any, part: Path, progress: Progress) -> None:
    """Writes the body into the partial file, from where the answer says that it begins."""
    done = _beginning(source, response, part)
    with _translate_disk_errors(part):
        handle = part.open("r+b" if done else "wb")
    with handle:
        handle.seek(done)
        while done < source.size_bytes and (piece := response.read1(_PIECE)):
            with _translate_disk_errors(part):
                handle.write(piece)
                handle.flush()
            done += len(piece)
            progress(done, source.size_bytes)
    if done > source.size_bytes:
        part.unlink()
        raise _fault("download-failed", source, f"goes on after {source.size_bytes} bytes; it is another file")


def _beginning(source: RemoteFile, response: Any, part: Path) -> int:
    """The position of the body's first byte in the file; refuses bodies of another file."""
    if response.headers.get_content_type() == "text/html":
        raise _fault("download-failed", source, "answers with a web page, perhaps one to log in, not with the file")
    begin, total = 0, response.headers.get("Content-Length")
    if response.status == http.client.PARTIAL_CONTENT:
        begin = _size(part)
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if span.partition("-")[0] != str(begin):
            raise _fault(
                "download-failed", source, f"answers with the bytes {span!r} when asked for those from {begin}"
            )
    if total not in (None, "*", str(source.size_bytes)):
        raise _fault("download-failed", source, f"has {total} bytes, not {source.size_bytes}; it is another file")
    return begin


def _answered(source: RemoteFile, answer: urllib.error.HTTPError, part: Path) -> ResourceError:
    answer.close()
    fault = _fault("download-failed", source, f"answers {answer.code} {answer.reason}")
    if answer.code == _RANGE_REFUSED:  # there is nothing after what we have: it was something else
        part.unlink(missing_ok=True)
    elif answer.code not in _BUSY:
        raise fault
    return fault


def _reason(cause: BaseException | str) -> str:
    return getattr(cause, "strerror", None) or str(cause) or "it does not answer"


def _fault(code: str, source: RemoteFile, what: str) -> ResourceError:
    return ResourceError(code, f"{source.url} {what}", hint=source.hint, url=source.url)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows an answer to https, and within the same server; not to where anybody on the way may change the file."""

    def redirect_request(
        self, request: urllib.request.Request, body: IO[bytes], code: int, reason: str, headers: Any, url: str
    ) -> urllib.request.Request | None:
        """The request to make instead."""
        old, new = urlsplit(request.full_url), urlsplit(url)
        if new.scheme != "https" and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            raise ResourceError("download-failed", f"{request.full_url} leads to {url}, which is not https; refused")
        return super().redirect_request(request, body, code, reason, headers, url)


_OPENER = urllib.request.build_opener(_Redirects)


@contextmanager
def _alone(path: Path) -> Iterator[Path]:
    """The partial file to write, while no other process writes it: others wait here.

    Where the file system has no locks, or another process takes too long, it is a file of this process alone.
    """
    lock = None
    with suppress(LockingUnsupported, StateError):
        lock = Lock(path.with_name(f".{path.name}.lock"), wait=True)
    if lock is not None:
        with lock:
            yield path.with_name(f"{path.name}.part")
        return
    own = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        yield own
    finally:
        own.unlink(missing_ok=True)


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed + _MIN_FREE_BYTES:
        raise ResourceError(
            "disk-full",
            f"{part.parent}: {needed} more bytes are needed and {_MIN_FREE_BYTES} to spare, {free} are free; free some space",
            hint=_ELSEWHERE,
            needed=needed,
            free=free,
        )


def _translate_disk_errors(path: Path) -> AbstractContextManager[None]:
    return translate_write_errors(path, hint=_ELSEWHERE, other="output-unwritable")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
