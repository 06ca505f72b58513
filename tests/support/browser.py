"""Headless Chromium for tests of pages. Its WebGL runs in software."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

_OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    *("--disable-background-networking", "--no-first-run"),
)


@contextmanager
def launch_chromium() -> Iterator[Any]:
    """Yield a Playwright browser. The test is skipped without Playwright or Chromium, and fails without in CI."""
    playwright = pytest.importorskip("playwright.sync_api")
    executable = shutil.which("chromium")
    if executable is None:
        assert os.environ.get("CI") != "true", "CI has no chromium"
        pytest.skip("no chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=executable, args=list(_OPTIONS))
        try:
            yield browser
        finally:
            browser.close()


def screenshot(page: Any) -> NDArray[np.uint8]:
    """Return what a page shows, (H, W, 3) uint8 RGB."""
    encoded = np.frombuffer(page.screenshot(), np.uint8)
    return np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
