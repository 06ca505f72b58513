"""A studio server for the tests of one module, and a visitor who may use it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from masklet.studio.server import Server
from support.studio import Visitor, serve


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server without a model."""
    with serve() as server:
        yield server


@pytest.fixture(scope="module")
def visitor(server: Server) -> Visitor:
    """A client with the cookie."""
    return Visitor(server)
