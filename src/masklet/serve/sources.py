"""Sources of media beside the body of a request: files below a folder, and addresses, if the operator allows them."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from masklet.errors import InputNotFound, MaskletError, ResourceError, SettingsError, VideoError
from masklet.files.open_input import require_input

_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Sources:
    """What clients may name in place of content.

    Attributes:
        root: Folder whose files and subfolders may be named; None if no path may be.
        addresses: Beginnings of allowed addresses, such as `https://labels.example.org/data/`; none by default.

    Raises:
        SettingsError: `bad-usage`. An address is not http or https with a host and a path.
        InputNotFound: The folder does not exist.
    """

    root: Path | None = None
    addresses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.root is not None and not require_input(self.root).is_dir():
            raise InputNotFound("input-not-found", f"{self.root} is not a folder", path=str(self.root))
        object.__setattr__(self, "addresses", tuple(_normalize_prefix(one) for one in self.addresses))

    def find(self, name: str) -> Path:
        """Return the path of a file or folder below the root.

        Args:
            name: Path relative to the root, with slashes.

        Raises:
            InputNotFound: `input-not-found`, the same for everything that is not to be found: nothing there, outside
                the root, a symbolic link, or no root.
        """
        missing = InputNotFound("input-not-found", f"there is no file {name[:200]!r} for clients of this server")
        parts = name.split("/")
        if self.root is None or "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in parts):
            raise missing
        path = self.root
        try:
            for part in parts:
                path = path / part
                if path.is_symlink():
                    raise missing
            is_inside = path.resolve().is_relative_to(self.root.resolve())
        except (OSError, ValueError):
            raise missing from None
        if not is_inside or not (path.is_file() or path.is_dir()):
            raise missing
        return path

    def fetch(
        self, url: str, max_bytes: int, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> bytes:
        """Download an allowed address. It blocks; call it in a thread.

        Args:
            url: The address. Redirects are followed to allowed addresses only.
            max_bytes: Most bytes.
            headers: Further headers, such as `Authorization`.
            body: Body of a POST request; None for a GET request.

        Raises:
            VideoError: `url-refused`. The operator has not allowed the address, or a redirect leads elsewhere.
            ResourceError: `network-unavailable`. It cannot be reached. `download-failed`. The response is an error or
                too large.
        """
        self.check_address(url)
        opener = urllib.request.OpenerDirector()
        for handler in (urllib.request.HTTPHandler, urllib.request.HTTPSHandler, urllib.request.HTTPDefaultErrorHandler,
                        urllib.request.HTTPErrorProcessor, lambda: _Redirects(self)):  # fmt: skip
            opener.add_handler(handler())  # no proxies, no files, no FTP
        request = urllib.request.Request(url, body, headers={"User-Agent": "masklet", **(headers or {})})
        try:
            with opener.open(request, timeout=_TIMEOUT_S) as response:
                return _read(response, max_bytes)
        except urllib.error.HTTPError as error:
            error.close()
            raise ResourceError("download-failed", f"{_shorten(url)} gave status {error.code}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, MaskletError):
                raise
            reason = getattr(error, "reason", error)
            raise ResourceError("network-unavailable", f"{_shorten(url)} cannot be read: {reason}") from None

    def check_address(self, url: str) -> None:
        """Raise `VideoError` (`url-refused`) unless an address begins with an allowed one."""
        parts = _split(url)
        if parts is None or not any(_is_below(parts, prefix) for prefix in self.addresses):
            message = f"the address {_shorten(url)} is not allowed; the operator allows some with --allow-url"
            raise VideoError("url-refused", message)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to allowed addresses only, and sends credentials to the first host only."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Return the request of the new address."""
        self._sources.check_address(newurl)
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and request.host != req.host:
            for name in ("Authorization", "Cookie"):
                request.remove_header(name)
        return request


def _read(response: Any, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    total = 0
    while part := response.read(_CHUNK_BYTES):
        total += len(part)
        if total > max_bytes:
            raise ResourceError("download-failed", f"{_shorten(response.url)} has more than {max_bytes} bytes")
        parts.append(part)
    return b"".join(parts)


def _split(url: str) -> tuple[str, str, str] | None:
    """Return the scheme, the host with its port, and the path of an address; None for one that is malformed."""
    if any(ord(character) <= 32 or ord(character) == 127 for character in url) or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        return None
    default = {"http": 80, "https": 443}[parts.scheme]
    return parts.scheme, f"{host}:{port or default}", parts.path or "/"


def _is_below(parts: tuple[str, str, str], prefix: str) -> bool:
    allowed = _split(prefix)
    segments = parts[2].lower().replace("%2e", ".").replace("%2f", "/").split("/")
    return allowed is not None and parts[:2] == allowed[:2] and parts[2].startswith(allowed[2]) and ".." not in segments


def _normalize_prefix(prefix: str) -> str:
    if _split(prefix) is None:
        message = f"an address must be http:// or https:// with a host, without a user; got {prefix!r}"
        raise SettingsError("bad-usage", message)
    return prefix if prefix.count("/") > 2 else f"{prefix}/"


def _shorten(url: str) -> str:
    """Return an address without its query, which may contain a secret."""
    return repr(url.partition("?")[0][:200])
