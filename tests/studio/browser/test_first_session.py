"""The shortest session: a click, a mask, undo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.studio_browser import EXAMPLES, StudioProcess, open_window


def test_a_click_makes_a_mask(tmp_path: Path, request: Any) -> None:
    with StudioProcess(tmp_path / "project", [EXAMPLES / "fish.jpg"]) as studio:  # it starts while Chromium does
        browser = request.getfixturevalue("browser")
        from playwright.sync_api import expect

        with open_window(browser, studio) as window:
            window.click(160, 90, (320, 214))
            expect(window.mask()).to_contain_text("prompted, score")
            window.press("Control+z")
            expect(window.objects()).to_have_count(0)
