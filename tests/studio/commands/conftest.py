"""Sessions of a studio for the tests of commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from masklet.studio.commands import media
from support.studio_session import Session, open_session


@pytest.fixture(scope="package", autouse=True)
def quick() -> Iterator[None]:
    """Encode shown frames at once, and do not wait for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(media, "_REST_S", 0.0)
        patch.setattr("os.fsync", lambda file: None)
        yield


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A studio with a fake model and one client."""
    with open_session(tmp_path) as session:
        session.settle()
        yield session


@pytest.fixture(scope="package")
def unchanged(tmp_path_factory: pytest.TempPathFactory, quick: None) -> Iterator[Session]:
    """A studio for commands that are refused, with an object on the first image and a locked one."""
    with open_session(tmp_path_factory.mktemp("unchanged")) as session:
        session.click(80)
        locked = session.click(240)
        session.run("change_object", medium=2, object=locked, fields={"locked": True})
        yield session
