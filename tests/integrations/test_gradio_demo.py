"""The Gradio demo: its server, and its page in Chromium."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
pytest.importorskip("gradio")

from masklet.segmenter import Segmenter
from support.browser import launch_chromium
from support.gray_world import GrayWorld, draw_boxes

DEMO = Path(__file__).resolve().parents[2] / "examples" / "gradio_demo.py"
A, B = (5, 5, 15, 25), (25, 10, 55, 35)  # left, top, right, bottom in an image of 60 × 40 pixels
SCALE = 10


@pytest.fixture(scope="module")
def demo() -> Any:
    specification = importlib.util.spec_from_file_location("gradio_demo", DEMO)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["gradio_demo"] = module  # dataclasses look for the module of their fields
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def page(demo: Any, tmp_path: Path) -> Iterator[Any]:
    """The page of a running demo, with an image of 600 × 400 pixels."""
    image = np.kron(draw_boxes({80: A, 160: B}), np.ones((SCALE, SCALE, 1), np.uint8))
    Image.fromarray(image).save(tmp_path / "boxes.png")
    app = demo.build(Segmenter(GrayWorld()))
    _, address, _ = app.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    try:
        with launch_chromium() as browser:
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.goto(address)
            page.locator("#image input[type=file]").set_input_files(tmp_path / "boxes.png")
            page.locator("#masks img").wait_for()
            yield page
    finally:
        app.close()


def click(page: Any, x: float, y: float) -> None:
    """Click on a pixel of the image of 60 × 40 pixels, once nothing lies over it."""
    page.wait_for_function("!document.querySelector('#masks .wrap:not(.hide)[data-testid=status-tracker]')")
    shown = page.locator("#masks img").bounding_box()
    page.mouse.click(shown["x"] + x / 60 * shown["width"], shown["y"] + y / 40 * shown["height"])


def expect_rows(page: Any, *rows: tuple[int, int]) -> None:
    """Wait until the table has these objects with these areas in pixels."""
    expected = [[str(object_id), str(area * SCALE**2)] for object_id, area in rows]
    page.wait_for_function(
        """expected => JSON.stringify(expected) === JSON.stringify([...document.querySelectorAll("#table tbody tr")]
            .map((row) => [...row.cells].slice(0, 2).map((cell) => cell.textContent)))""",
        arg=expected,
    )


def test_clicks_in_the_page_become_masks(page: Any) -> None:
    click(page, 8, 10)
    expect_rows(page, (1, 200))
    page.get_by_label("Object", exact=True).fill("2")
    click(page, 40, 20)
    expect_rows(page, (1, 200), (2, 750))
    click(page, 8, 10)
    expect_rows(page, (1, 200), (2, 950))
    page.get_by_label("exclude").check()
    click(page, 42, 20)
    expect_rows(page, (1, 200), (2, 200))
    page.get_by_text("Undo").click()
    expect_rows(page, (1, 200), (2, 950))


def test_the_masks_are_saved_as_a_label_map(page: Any, tmp_path: Path) -> None:
    click(page, 8, 10)
    expect_rows(page, (1, 200))
    page.get_by_text("Save masks").click()
    with page.expect_download() as download:
        page.locator("#file a[download]").first.click()
    download.value.save_as(tmp_path / "saved.png")
    mask = np.asarray(Image.open(tmp_path / "saved.png")) > 0
    assert mask.shape == (400, 600) and mask.sum() == 200 * SCALE**2 and mask[100, 80]


def test_sessions_and_examples(demo: Any) -> None:
    image = draw_boxes({80: A, 160: B})
    model = Segmenter(GrayWorld())
    session = demo.Session(image, model.embed(image), [(1, 1, 1, False)])
    assert len(session.predict()) == 0 and session.show()[1] == "Click on an object."
    assert all(Path(path).is_file() for (path,) in demo.EXAMPLES)
