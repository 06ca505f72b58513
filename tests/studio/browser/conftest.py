"""Sessions with the studio in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.browser import launch_chromium
from support.studio_browser import TIMEOUT_MS, StudioPage, StudioProcess, open_window


@pytest.fixture(scope="module")  # its event loop must have ended where other tests start theirs
def browser() -> Iterator[Any]:
    """Chromium."""
    with launch_chromium() as launched:
        from playwright.sync_api import expect

        expect.set_options(timeout=TIMEOUT_MS)
        yield launched


@pytest.fixture
def open_studio(browser: Any, tmp_path: Path) -> Iterator[Callable[..., tuple[StudioProcess, StudioPage]]]:
    """A function that starts a studio on paths, and opens a window."""
    with ExitStack() as stack:

        def start(*paths: Path, arguments: Sequence[str] = (), **options: Any) -> tuple[StudioProcess, StudioPage]:
            studio = stack.enter_context(StudioProcess(tmp_path / "project", paths, arguments))
            return studio, stack.enter_context(open_window(browser, studio, **options))

        yield start
