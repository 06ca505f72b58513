"""Sessions with a detector: proposals of the classes that a text names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.studio_browser import EXAMPLES, StudioPage, StudioProcess, expect

pytestmark = pytest.mark.slow

SIZE = (320, 240)  # width, height
CUP, PLATE = (40, 60, 120, 180), (180, 40, 300, 120)  # left, top, right, bottom
DETECTOR = ("--detector", "tests.support.gray_detector:make_gray_detector")


def test_a_text_finds_objects_and_makes_their_classes(
    open_studio: Callable[..., tuple[StudioProcess, StudioPage]], tmp_path: Path
) -> None:
    for name, shift in (("a.png", 0), ("b.png", 20)):
        pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        for value, (x0, y0, x1, y1) in {80: CUP, 160: PLATE}.items():
            pixels[y0 + shift : y1 + shift, x0:x1] = value
        Image.fromarray(pixels).save(tmp_path / name)
    studio, window = open_studio(tmp_path / "a.png", tmp_path / "b.png", arguments=DETECTOR)
    window.open("a.png")
    panel = window.page.locator("#side-panel")
    status = panel.get_by_role("status")
    window.press("m")
    expect(status.get_by_text("Name what to find")).to_be_visible()  # nothing is searched before
    text = panel.get_by_label("Classes to find, separated by commas")
    text.fill(" , ,")
    text.press("Enter")
    expect(window.page.get_by_text("names no class")).to_be_visible()

    text.fill("cup, plate")
    window.button("Find").click()
    expect(status.get_by_text("2 proposals: 1 cup, 1 plate")).to_be_visible()
    window.click(80, 120, SIZE)
    expect(status.get_by_text("1 proposal: 1 plate")).to_be_visible()
    expect(window.objects()).to_have_count(1)
    window.button("Take all").click()
    expect(window.objects()).to_have_count(2)
    window.open("b.png")  # the text holds for the next image
    expect(status.get_by_text("2 proposals: 1 cup, 1 plate")).to_be_visible()
    window.button("Take all").click()
    expect(window.objects()).to_have_count(2)
    expect(window.status("Saved")).to_be_visible()
    with studio.read() as project:
        document = project.document
        assert [one.name for one in document.classes().values()] == ["cup", "plate"]
        for medium, shift in ((1, 0), (2, 20)):
            assert [document.label_of(medium, number) for number in document.objects_of(medium)] == ["cup", "plate"]
            cell = document.cell(medium, 2, 0)
            assert cell is not None and cell.mask is not None and cell.source == "propose"
            x0, y0, x1, y1 = PLATE
            found, expected = project.masks(medium).read(cell.mask), np.zeros(SIZE[::-1], bool)
            expected[y0 + shift : y1 + shift, x0:x1] = True
            assert (found & expected).sum() > 0.8 * (found | expected).sum()


def test_without_a_detector_there_is_no_field(open_studio: Callable[..., tuple[StudioProcess, StudioPage]]) -> None:
    _, window = open_studio(EXAMPLES / "fish.jpg")
    window.press("m")
    expect(window.page.get_by_text("Looking for objects…")).to_be_visible()
    expect(window.page.get_by_label("Classes to find, separated by commas")).to_be_hidden()
