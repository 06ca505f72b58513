"""Access to a server: allowed hosts and origins, one-time codes, tokens and the session cookie.

The private file of `entry_file.py` sends the browser to `/enter` with a one-time code, which is exchanged for a cookie.
Neither is ever an argument of a process or part of a log.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from masklet.errors import SettingsError
from masklet.http.problems import problem

CODE_LIFETIME_S = 300.0
MIN_TOKEN_LENGTH = 16  # characters
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?", re.ASCII)
_OPEN_PATH = "/enter"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Access:
    """What a request needs to be served.

    Args:
        allowed_hosts: Names of this server that requests may use, beside those of the loopback address.
        token: The token that may be exchanged for the cookie; None if only one-time codes may.
        now: The clock of the codes, in seconds.

    Attributes:
        token: The token.
        on_redeem: Called after a code was exchanged.

    Raises:
        SettingsError: `bad-usage`. The token is too short, or a host is not a name or an address.
    """

    def __init__(
        self, allowed_hosts: Iterable[str] = (), token: str | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        if token is not None and len(token) < MIN_TOKEN_LENGTH:
            message = f"the token must have at least {MIN_TOKEN_LENGTH} characters, it has {len(token)}"
            raise SettingsError("bad-usage", message)
        self._hosts = LOOPBACK_NAMES | {_normalize_host(name) for name in allowed_hosts}
        self.token, self._now = token, now
        self.on_redeem: Callable[[], None] = lambda: None
        self._session = secrets.token_urlsafe(32)
        self._codes: dict[str, float] = {}  # the time at which each expires
        self._lock = threading.Lock()

    def issue_code(self) -> str:
        """Return a new code, which can be used once within `CODE_LIFETIME_S` seconds."""
        with self._lock:
            self._codes = {code: end for code, end in self._codes.items() if end > self._now()}
            code = secrets.token_urlsafe(32)
            self._codes[code] = self._now() + CODE_LIFETIME_S
            return code

    def redeem_code(self, code: str) -> bool:
        """Return whether a code is valid. It no longer is afterwards."""
        with self._lock:
            found = [one for one in self._codes if _equal(one, code)]
            is_valid = any(self._codes.pop(one) > self._now() for one in found)
        if is_valid:
            self.on_redeem()
        return is_valid

    def accepts_token(self, token: str) -> bool:
        """Return whether the token is the right one."""
        return self.token is not None and _equal(self.token, token)

    def make_cookie(self, headers: Mapping[str, str]) -> str:
        """Return the value of `Set-Cookie` for the host of a request."""
        return f"{_cookie_name(headers)}={self._session}; Path=/; HttpOnly; SameSite=Strict"

    def make_etag(self, resource: str) -> str:
        """Return an ETag of a resource that differs in every session."""
        return f'"{hmac.new(self._session.encode(), resource.encode(), "sha256").hexdigest()[:32]}"'

    def refuse(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and the code of the refusal of a request, or None if it is to be served."""
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._allows_host(hosts[0]):
            return 421, "host-refused"
        if any(origin != f"http://{hosts[0]}" for origin in origins):
            return 403, "origin-refused"
        if scope["path"] != _OPEN_PATH and not self._has_cookie(headers):
            return 401, "unauthorized"
        return None

    def _allows_host(self, host: str) -> bool:
        match = _HOST.fullmatch(host.lower())
        return match is not None and match[1] in self._hosts

    def _has_cookie(self, headers: Headers) -> bool:
        name = _cookie_name(headers)
        cookies = [cookie_parser(text) for text in headers.getlist("cookie")]
        return any(_equal(cookie.get(name, ""), self._session) for cookie in cookies)


class Guard:
    """Middleware that refuses requests without access, and adds the security headers to every response."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse a request."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"].endswith("response.start"):
                names = {name.lower() for name, _ in message["headers"]}
                added = ((name.lower().encode(), value.encode()) for name, value in _HEADERS.items())
                message["headers"] = [*message["headers"], *(pair for pair in added if pair[0] not in names)]
            await send(message)

        refusal = self._access.refuse(scope)
        if refusal is None:
            return await self._app(scope, receive, send_with_headers)
        status, code = refusal
        return await problem(status, code, connection="close")(scope, receive, send_with_headers)


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _normalize_host(name: str) -> str:
    text = f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name
    match = _HOST.fullmatch(text.lower())
    if match is None or match[2]:
        message = f"a host is a name or an address without a port, such as studio.local or 192.168.0.9; got {name!r}"
        raise SettingsError("bad-usage", message)
    return match[1]


def _cookie_name(headers: Mapping[str, str]) -> str:
    """Return the name of the cookie. Browsers send cookies to all ports of a host, so the port is part of the name."""
    match = _HOST.fullmatch(headers["host"].lower())
    return f"masklet-{(match and match[2]) or 80}"


def _equal(a: str, b: str) -> bool:
    """Compare in a time that does not depend on the content."""
    return hmac.compare_digest(a.encode("utf-8", "surrogatepass"), b.encode("utf-8", "surrogatepass"))
