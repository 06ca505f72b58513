"""Protocols of annotation tools, each a module with `PREFIX`, `routes` and `make_error_response` (see `serve`)."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast

from starlette.responses import Response
from starlette.routing import BaseRoute

from masklet.errors import SettingsError
from masklet.http.problems import Problem
from masklet.serve.service import Service

PROTOCOLS = ("label-studio", "cvat", "x-anylabeling", "samapi", "monai-label", "kserve", "osam")
"""Names of the protocols; `label-studio` is the module `label_studio`."""


class ToolProtocol(Protocol):
    """A module of this package."""

    PREFIX: str
    routes: Callable[[Service], list[BaseRoute]]
    make_error_response: Callable[[Problem], Response]


def load_protocol(name: str) -> ToolProtocol:
    """Import a protocol by its name. Raises `SettingsError` (`bad-usage`) for an unknown one."""
    if name not in PROTOCOLS:
        message = f"unknown protocol {name!r}; protocols are {', '.join(PROTOCOLS)}"
        raise SettingsError("bad-usage", message)
    return cast("ToolProtocol", import_module(f"masklet.serve.protocols.{name.replace('-', '_')}"))
