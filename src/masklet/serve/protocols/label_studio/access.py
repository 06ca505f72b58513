"""Access to Label Studio: its address and the token with which files of tasks are read."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from masklet.errors import ResourceError, VideoError
from masklet.files.json_fields import Fields, parse_json
from masklet.serve.service import Service

URL_VARIABLE, TOKEN_VARIABLE = "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"  # as in Label Studio's own backends
_CLOUD_SCHEMES = frozenset({"s3", "gs", "azure-blob", "azure_spi"})
_TOKEN_LIFETIME_S = 120.0  # an access token of a personal access token is valid for 5 minutes
_JWT_DOTS = 2  # in a personal access token


@dataclass(frozen=True, slots=True)
class Account:
    """An address of Label Studio and a token of it.

    Attributes:
        url: Address without a slash at the end, such as `http://localhost:8080`; "" if it is unknown.
        token: A legacy token, or a personal access token; "" if there is none.
    """

    url: str
    token: str


class LabelStudioAccess:
    """Reads files that tasks refer to.

    The environment variables `LABEL_STUDIO_URL` and `LABEL_STUDIO_API_KEY` have priority over the address and the token
    that Label Studio sends when a project connects the backend. Addresses are read only if the operator allows them; a
    token is sent only to the Label Studio that it is of.

    Args:
        service: The service, which downloads.
        environment: The environment variables.
    """

    def __init__(self, service: Service, environment: Mapping[str, str] = os.environ) -> None:
        self._service = service
        self._configured = Account(environment.get(URL_VARIABLE, "").rstrip("/"), environment.get(TOKEN_VARIABLE, ""))
        self._announced = Account("", "")
        self._bearer: dict[Account, tuple[float, str]] = {}  # time of expiry and access token

    def announce(self, url: str, token: str) -> None:
        """Note the address and the token that Label Studio sends when a project connects the backend."""
        self._announced = Account(url.rstrip("/"), token)

    @property
    def account(self) -> Account:
        """The address and the token that are used."""
        if not self._configured.url:
            token = self._configured.token or self._announced.token
            return Account(self._announced.url, token)
        token = self._configured.token
        if not token and _has_origin(self._announced.url, self._configured.url):
            token = self._announced.token
        return Account(self._configured.url, token)

    async def read(self, address: str, task_id: str) -> bytes:
        """Return the content of a file of a task.

        Args:
            address: A path of Label Studio such as `/data/upload/1/dog.jpg`, an http or https address, an address of
                cloud storage such as `s3://bucket/dog.jpg`, which Label Studio signs, or the name of a file below
                `--root`.
            task_id: The task.

        Raises:
            VideoError: `url-refused`. The operator has not allowed the address.
            ResourceError: `network-unavailable` or `download-failed`.
            InputNotFound: There is no such file below the root.
        """
        scheme = urlsplit(address).scheme.lower() if "://" in address else ""
        if not scheme and not address.startswith("/"):
            return await self._service.read_path(address)
        account = self.account
        if scheme in _CLOUD_SCHEMES:
            encoded = quote(base64.b64encode(address.encode()).decode("ascii"), safe="")
            address = f"/tasks/{quote(task_id, safe='')}/presign/?fileuri={encoded}"
        elif scheme not in ("", "http", "https"):
            raise VideoError("url-refused", f"a file of a task must be http, https or cloud storage, got {scheme}://…")
        if address.startswith("/"):
            if not account.url:
                message = f"the task refers to {address[:200]!r} of Label Studio, whose address is unknown"
                raise VideoError("url-refused", f"{message}; set {URL_VARIABLE}, or connect the backend again")
            address = urljoin(f"{account.url}/", address.lstrip("/"))
        headers = await self._make_headers(account) if _has_origin(address, account.url) else {}
        return await self._service.fetch(address, headers)

    async def _make_headers(self, account: Account) -> dict[str, str]:
        """Return the headers with the token. A personal access token is exchanged for one that is valid for minutes."""
        if not account.token:
            return {}
        if account.token.count(".") != _JWT_DOTS:
            return {"Authorization": f"Token {account.token}"}
        expiry, token = self._bearer.get(account, (0.0, ""))
        if expiry < time.monotonic():
            body = json.dumps({"refresh": account.token}).encode()
            response = await self._service.fetch(
                f"{account.url}/api/token/refresh/", {"Content-Type": "application/json"}, body
            )
            name = "the response of Label Studio"
            token = Fields(parse_json(response, name), name).text("access")
            if not token.isascii() or not token.isprintable():
                raise ResourceError("download-failed", f"{account.url} gave an access token with invalid characters")
            self._bearer[account] = time.monotonic() + _TOKEN_LIFETIME_S, token
        return {"Authorization": f"Bearer {token}"}


def _has_origin(url: str, base: str) -> bool:
    """Return whether an address has the scheme, the host and the port of another one."""
    try:
        one, other = urlsplit(url), urlsplit(base)
        return bool(base) and (one.scheme, one.hostname, one.port) == (other.scheme, other.hostname, other.port)
    except ValueError:
        return False
