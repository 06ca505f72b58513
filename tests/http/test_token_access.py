"""Access by a token, and by the names of the server."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from masklet.errors import SettingsError
from masklet.http.security import TokenAccess

TOKEN = "0123456789abcdef"


def refuse(access: TokenAccess, *headers: tuple[str, str], path: str = "/v1/model", **scope: Any) -> str | None:
    """Return the code of the refusal of a request."""
    own = [("Host", "localhost:8791")] if all(name != "Host" for name, _ in headers) else []
    raw = [(name.lower().encode(), value.encode()) for name, value in [*own, *headers]]
    refusal = access.refuse({"type": "http", "path": path, "headers": raw, **scope})
    return None if refusal is None else refusal[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", f"Bearer {TOKEN}"),
        ("Authorization", f"bearer {TOKEN}"),
        ("Authorization", f"Token {TOKEN}"),
        ("Authorization", "Basic " + base64.b64encode(f"user:{TOKEN}".encode()).decode()),
        ("Authorization", "Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode()),
        ("Token", TOKEN),
        ("X-API-Key", TOKEN),
    ],
)
def test_the_token_is_accepted_in_the_headers_that_programs_send(name: str, value: str) -> None:
    access = TokenAccess((), TOKEN)
    assert refuse(access, (name, value)) is None
    assert refuse(access, (name, value[:-1])) == "unauthorized"


@pytest.mark.parametrize(
    "value", ["", "Bearer", f"Digest {TOKEN}", "Basic ?", f"Basic {TOKEN}", f"{TOKEN}", "Bearer é"]
)
def test_other_headers_are_refused(value: str) -> None:
    assert refuse(TokenAccess((), TOKEN), ("Authorization", value)) == "unauthorized"
    assert refuse(TokenAccess((), TOKEN), query_string=f"token={TOKEN}".encode()) == "unauthorized"


def test_a_browser_sends_the_token_as_a_subprotocol() -> None:
    access = TokenAccess((), TOKEN)
    assert refuse(access, type="websocket", subprotocols=["masklet", f"token.{TOKEN}"]) is None
    assert refuse(access, type="websocket", subprotocols=["masklet", "token."]) == "unauthorized"


def test_hosts_and_origins_are_checked_before_the_token() -> None:
    access = TokenAccess(["masks.example"], TOKEN, ["/health/live"])
    own = ("Authorization", f"Bearer {TOKEN}")
    assert refuse(access, ("Host", "masks.example"), ("Origin", "https://masks.example"), own) is None
    assert refuse(access, ("Host", "evil.example"), own) == "host-refused"
    for origin in ("null", "http://evil.example", "ftp://localhost:8791", "http://localhost:1"):
        assert refuse(access, ("Origin", origin), own) == "origin-refused"
    for site in ("cross-site", "same-site"):
        assert refuse(access, ("Sec-Fetch-Site", site), own) == "origin-refused"
    assert refuse(access, ("Host", "10.0.0.7:8791"), path="/health/live") is None


def test_without_a_token_hosts_and_origins_are_checked() -> None:
    access = TokenAccess()
    assert refuse(access) is None
    assert refuse(access, ("Host", "evil.example")) == "host-refused"
    assert refuse(access, ("Origin", "http://evil.example")) == "origin-refused"


def test_a_short_token_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least 16 characters"):
        TokenAccess((), "short")
