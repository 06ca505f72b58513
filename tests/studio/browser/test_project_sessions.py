"""Sessions that end early or have several windows: nothing that was done is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.studio_browser import EXAMPLES, StudioPage, StudioProcess, expect, open_window

pytestmark = pytest.mark.slow

Open = Callable[..., tuple[StudioProcess, StudioPage]]
CAT = (451, 300)


def test_a_reload_in_the_middle_of_work_keeps_everything(open_studio: Open) -> None:
    _, window = open_studio(EXAMPLES / "car.mp4", EXAMPLES / "cat.jpg")
    window.open("cat.jpg")
    window.click(232, 120, CAT)
    window.click(150, 190, CAT)
    expect(window.mask()).to_contain_text("prompted, score")
    expect(window.status("Saved")).to_be_visible()
    window.page.reload()
    window.wait_until_open()
    expect(window.page.locator("[role=option][aria-selected=true]")).to_contain_text("cat.jpg")
    window.objects().first.get_by_role("button").first.click()
    expect(window.mask()).to_contain_text("prompted, score")
    window.click(325, 185, CAT)
    expect(window.button("Undo: prompt")).to_be_enabled()
    window.open("car.mp4")
    window.press("Shift+ArrowRight")
    expect(window.page.get_by_label("Frame", exact=True)).to_have_value("10")
    window.open("cat.jpg")
    window.open("car.mp4")
    expect(window.page.get_by_label("Frame", exact=True)).to_have_value("10")
    window.page.reload()
    window.wait_until_open()
    expect(window.page.get_by_label("Frame", exact=True)).to_have_value("10")


def test_the_page_survives_a_crash_of_the_server(open_studio: Open) -> None:
    studio, window = open_studio(EXAMPLES / "cat.jpg")
    window.click(232, 120, CAT)
    expect(window.mask()).to_contain_text("prompted, score")
    expect(window.status("Saved")).to_be_visible()
    studio.kill()
    expect(window.page.locator("#status-line")).to_contain_text("Not connected; trying again…")
    window.click(150, 190, CAT)  # changes nothing while there is no server
    studio.start()
    assert studio.entry
    refused = window.page.locator("#status-line").get_by_text("No access")
    expect(refused.or_(window.status("Connected"))).to_be_visible()
    window.enter(studio)
    window.objects().first.get_by_role("button").first.click()
    expect(window.mask()).to_contain_text("prompted, score")
    window.click(150, 190, CAT)
    expect(window.status("Saved")).to_be_visible()
    with studio.read() as project:
        prompt = project.document.prompt(1, 1, 0)
        assert prompt
        assert len(prompt.points) == 2
    window.press("Control+z", "Control+z")
    expect(window.objects()).to_have_count(0)
    away = ("WebSocket connection", "Failed to load resource")
    window.problems = [text for text in window.problems if not text.startswith(away)]


def test_two_windows_show_the_same(open_studio: Open, browser: Any) -> None:
    studio, first = open_studio(EXAMPLES / "cat.jpg", EXAMPLES / "fish.jpg")
    with open_window(browser, studio) as second:
        first.open("cat.jpg")
        second.open("cat.jpg")
        first.click(232, 120, CAT)
        expect(second.objects()).to_have_count(1)
        second.objects().first.get_by_role("button").first.click()
        expect(second.mask()).to_contain_text("prompted, score")
        second.press("F2")
        name = second.page.get_by_label("Name of the object")
        name.fill("tom")
        name.press("Enter")
        expect(first.objects().first).to_contain_text("tom")
        second.press("h")
        expect(first.button("Show tom")).to_be_visible()
        first.press("Control+z", "Control+z")
        expect(second.objects().first).to_contain_text("Object 1")
        second.press("Delete")
        expect(first.objects()).to_have_count(0)
        second.press("Shift+Enter")
        expect(first.page.get_by_text("1/2 checked")).to_be_visible()


def test_the_first_image_that_appears_is_shown(browser: Any, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    with StudioProcess(tmp_path / "project", [folder]) as studio, open_window(browser, studio, empty=True) as window:
        expect(window.page.get_by_role("heading", name="No images or videos")).to_be_visible()
        shutil.copy(EXAMPLES / "cat.jpg", folder)
        window.button("Look for new files in the opened folders").click()
        expect(window.message("1 file added.").first).to_be_visible()
        expect(window.page.locator("canvas[aria-busy=false]")).to_be_visible()
        window.click(232, 120, CAT)
        expect(window.objects()).to_have_count(1)
