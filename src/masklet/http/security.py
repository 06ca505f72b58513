"""Access to a server: allowed hosts and origins, one-time codes, tokens and the session cookie.

The private file of `entry_file.py` sends the browser to `/enter` with a one-time code, which is exchanged for a cookie.
Neither is ever an argument of a process or part of a log.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Protocol

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from masklet.errors import SettingsError
from masklet.http.problems import Problem

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


class HostRules:
    """Names of a server that requests may use, and origins of pages that may send them.

    Args:
        allowed_hosts: Names of this server, beside those of the loopback address.
        schemes: Schemes of its own origin; `https` is that of a proxy before it.

    Raises:
        SettingsError: `bad-usage`. A host is not a name or an address.
    """

    def __init__(self, allowed_hosts: Iterable[str], schemes: Iterable[str] = ("http",)) -> None:
        self._hosts = LOOPBACK_NAMES | {_normalize_host(name) for name in allowed_hosts}
        self._schemes = tuple(schemes)

    def refuse(self, headers: Headers) -> tuple[int, str] | None:
        """Return the status and the code of the refusal of a request, or None."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        match = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if match is None or match[1] not in self._hosts:
            return 421, "host-refused"
        own = {f"{scheme}://{hosts[0]}" for scheme in self._schemes}
        return (403, "origin-refused") if any(origin not in own for origin in origins) else None


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
        _check_token(token)
        self._rules = HostRules(allowed_hosts)
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
        if (refusal := self._rules.refuse(headers)) is not None:
            return refusal
        if scope["path"] != _OPEN_PATH and not self._has_cookie(headers):
            return 401, "unauthorized"
        return None

    def _has_cookie(self, headers: Headers) -> bool:
        name = _cookie_name(headers)
        cookies = [cookie_parser(text) for text in headers.getlist("cookie")]
        return any(_equal(cookie.get(name, ""), self._session) for cookie in cookies)


class TokenAccess:
    """What a request of a program needs to be served: an allowed host, and the token in a header.

    The token is accepted as `Authorization: Bearer`, as `Authorization: Token`, as the password or the user of
    `Authorization: Basic`, in the headers `Token` and `X-API-Key`, and as the WebSocket subprotocol `token.TOKEN`,
    which browsers can send. It is never accepted in a URL, since those are logged.

    Args:
        allowed_hosts: Names of this server that requests may use, beside those of the loopback address.
        token: The token; None if everyone who reaches the server is served.
        open_paths: Paths that are served to everyone.

    Raises:
        SettingsError: `bad-usage`. The token is too short, or a host is not a name or an address.
    """

    def __init__(
        self, allowed_hosts: Iterable[str] = (), token: str | None = None, open_paths: Iterable[str] = ()
    ) -> None:
        _check_token(token)
        self._rules = HostRules(allowed_hosts, ("http", "https"))
        self._token, self._open_paths = token, frozenset(open_paths)

    def refuse(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and the code of the refusal of a request, or None if it is to be served."""
        if scope["path"] in self._open_paths:
            return None
        headers = Headers(scope=scope)
        if (refusal := self._rules.refuse(headers)) is not None:
            return refusal
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return 403, "origin-refused"
        if self._token is None or any(_equal(self._token, one) for one in _list_tokens(scope, headers)):
            return None
        return 401, "unauthorized"


class Policy(Protocol):
    """A rule that decides whether a request is served."""

    def refuse(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and the code of the refusal of a request, or None if it is to be served."""


class Guard:
    """Middleware that refuses requests without access, and adds the security headers to every response.

    Args:
        app: The application.
        access: Which requests are served.
        refuse: Returns the response to a refused request.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Policy,
        refuse: Callable[[Scope, Problem], Response] = lambda scope, refusal: refusal.to_response(),
    ) -> None:
        self._app, self._access, self._refuse = app, access, refuse

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
        headers = {"connection": "close", **({"WWW-Authenticate": "Bearer"} if status == 401 else {})}
        response = self._refuse(scope, Problem(status, code, headers=headers))
        return await response(scope, receive, send_with_headers)


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _check_token(token: str | None) -> None:
    """Raise `SettingsError` (`bad-usage`) for a token that is too short."""
    if token is not None and len(token) < MIN_TOKEN_LENGTH:
        message = f"the token must have at least {MIN_TOKEN_LENGTH} characters, it has {len(token)}"
        raise SettingsError("bad-usage", message)


def _list_tokens(scope: Scope, headers: Headers) -> Iterator[str]:
    """Yield what a request gives as the token."""
    yield from (headers[name] for name in ("token", "x-api-key") if name in headers)
    yield from (name.removeprefix("token.") for name in scope.get("subprotocols", ()) if name.startswith("token."))
    for value in headers.getlist("authorization"):
        scheme, _, credentials = value.partition(" ")
        if scheme.lower() in ("bearer", "token"):
            yield credentials.strip()
        elif scheme.lower() == "basic":
            with suppress(ValueError):
                yield from base64.b64decode(credentials, validate=True).decode().split(":", 1)


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
