"""The widget for Jupyter: its Python side, and its page in Chromium with a model that stands for anywidget's."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("anywidget")

import masklet
from masklet.errors import ImageError, InputNotFound, PromptError
from masklet.integrations import notebook
from masklet.integrations.notebook import SegmentWidget
from masklet.segmenter import Segmenter
from support.browser import launch_chromium, screenshot
from support.gray_world import GrayWorld, draw_boxes

FOLDER = Path(notebook.__file__).parent
SMALL, LARGE = (5, 5, 15, 25), (25, 10, 55, 35)  # boxes of the image, 60 × 40 pixels
IMAGE = draw_boxes({80: SMALL, 160: LARGE})

# An object with the methods that anywidget gives to render(). `save` sends traits to Python, `receive` gets them.
PAGE = """
<!doctype html><meta charset="utf-8"><style>body {margin: 20px; width: 640px}</style><div id="cell"></div>
<script type="module">
  const decode = (value) => value?.base64 === undefined ? value
    : new DataView(Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0)).buffer);
  const traits = {}, handlers = {}, changed = new Set();
  const notify = (name) => (handlers[`change:${name}`] ?? []).forEach((handler) => handler());
  const model = {
    get: (name) => traits[name],
    set: (name, value) => { traits[name] = value; changed.add(name); notify(name); },
    save_changes: () => {
      window.save(Object.fromEntries([...changed].map((name) => [name, traits[name]])));
      changed.clear();
    },
    on: (event, handler) => (handlers[event] ??= []).push(handler),
    off: (event, handler) => { handlers[event] = handlers[event].filter((other) => other !== handler); },
  };
  window.receive = (values) => {
    for (const [name, value] of Object.entries(values)) traits[name] = decode(value);
    Object.keys(values).forEach(notify);
  };
  window.countHandlers = () => Object.values(handlers).flat().length;
  window.receive(await window.load());
  const source = await window.read("segment_widget.js");
  const style = document.createElement("style");
  style.textContent = await window.read("segment_widget.css");
  document.head.append(style);
  const module = await import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
  window.cleanup = module.default.render({model, el: document.getElementById("cell")});
  window.ready = true;
</script>
"""


def make_widget(image: Any = IMAGE, **options: Any) -> SegmentWidget:
    return SegmentWidget(image, Segmenter(GrayWorld()), **options)


def click(object_id: int, x: float, y: float, positive: bool = True) -> dict[str, Any]:
    return {"kind": "click", "object": object_id, "xy": [x, y], "positive": positive}


def act(widget: SegmentWidget, *actions: dict[str, Any]) -> None:
    """Do what the page does."""
    widget._actions = [*widget._actions, *actions]


def box_of(masks: Any, object_id: int) -> tuple[float, ...]:
    return tuple(masks.of(object_id).boxes[0].tolist())


def test_clicks_become_masks_and_prompts() -> None:
    widget = make_widget(labels={2: "cup"})
    assert len(widget.masks) == 0 and widget.prompts == {}
    act(widget, click(1, 8, 10), click(2, 30, 20))
    assert widget.masks.object_ids == (1, 2) and widget.masks.labels == (None, "cup")
    assert box_of(widget.masks, 1) == SMALL and box_of(widget.masks, 2) == LARGE
    assert widget.prompts[2].points.tolist() == [[30, 20]] and widget.prompts[2].label == "cup"
    assert widget._finished == 2 and widget._message == ""
    masks = Segmenter(GrayWorld()).segment(IMAGE, widget.prompts)  # the prompts are those of every other call
    assert np.array_equal(masks.binary, widget.masks.binary)


def test_every_click_refines_and_undo_predicts_nothing() -> None:
    widget = make_widget()
    calls: list[Any] = []
    predict = widget._predictor._image.predict
    widget._predictor._image.predict = lambda prompts, **options: calls.append(options) or predict(prompts, **options)
    act(widget, click(1, 8, 10))
    first = widget.masks
    act(widget, click(1, 30, 20))
    assert widget.masks.areas.tolist() == [10 * 20 + 30 * 25]
    assert [options["refine"] is None for options in calls] == [True, False]
    widget.undo()
    assert np.array_equal(widget.masks.binary, first.binary) and len(calls) == 2
    act(widget, click(1, 30, 20))
    assert len(calls) == 2  # done again without the model


def test_a_box_replaces_the_box_before_and_clear_removes_one_object() -> None:
    widget = make_widget()
    act(widget, {"kind": "box", "object": 1, "xy": [*SMALL]}, click(2, 8, 10))
    act(widget, {"kind": "box", "object": 1, "xy": [*LARGE]})
    assert box_of(widget.masks, 1) == LARGE and widget.prompts[1].points.tolist() == [[25, 10], [55, 35]]
    act(widget, {"kind": "clear", "object": 1, "xy": []})
    assert widget.masks.object_ids == (2,) and [*widget.prompts] == [2]
    widget.undo()
    assert box_of(widget.masks, 1) == LARGE
    widget.clear()
    assert len(widget.masks) == 0 and widget.prompts == {} and widget.object_id == 1


def test_an_object_without_a_positive_click_has_no_mask() -> None:
    widget = make_widget()
    act(widget, click(1, 8, 10, positive=False), click(2, 30, 20))
    assert widget.masks.object_ids == (2,)
    act(widget, click(1, 30, 20))
    assert widget.masks.object_ids == (1, 2)


def test_observers_are_called_with_the_masks() -> None:
    widget, areas = make_widget(), []
    widget.observe(lambda change: areas.append(change["new"].areas.tolist()), "masks")
    act(widget, click(1, 8, 10))
    widget.undo()
    assert areas == [[200], []]


def test_a_bad_action_is_reported_and_changes_nothing() -> None:
    widget = make_widget()
    act(widget, click(1, 8, 10))
    masks = widget.masks
    for bad in ({"kind": "poke"}, click(1, 900, 10), {"kind": "box", "object": 1, "xy": [9, 9, 1, 1]}):
        act(widget, bad)
        assert widget._message and widget.masks is masks and widget._finished == 2
        widget.undo()
        masks = widget.masks
    assert widget._message == ""


def test_bad_images_and_labels_raise() -> None:
    with pytest.raises(InputNotFound):
        make_widget("missing.png")
    with pytest.raises(ImageError):
        make_widget(np.zeros((4, 4, 7), np.uint8))
    with pytest.raises(PromptError):
        make_widget(labels={1: ""})


def test_another_image_starts_without_clicks() -> None:
    widget = make_widget()
    act(widget, click(1, 8, 10))
    widget.show_image(draw_boxes({200: (0, 0, 30, 30)})[:30])
    assert widget._size == [60, 30] and len(widget.masks) == 0 and widget._actions == []
    act(widget, click(1, 8, 10))
    assert widget.masks.size == (30, 60) and box_of(widget.masks, 1) == (0, 0, 30, 30)


def test_a_huge_image_is_shown_smaller_and_clicked_in_its_own_pixels() -> None:
    widget = make_widget(np.zeros((100, 4000, 3), np.uint8))
    with_sides = masklet.read_image(widget._image)
    assert with_sides.shape == (40, 1600, 3) and widget._size == [4000, 100]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launch_chromium() as launched:
        yield launched


class Cell:
    """A widget in a page, whose traits are those of the Python widget."""

    def __init__(self, page: Any, widget: SegmentWidget) -> None:
        self.page, self.widget = page, widget
        page.expose_function("load", lambda: self._encode(widget.get_state()))
        page.expose_function("save", self._save)
        page.expose_function("read", lambda name: (FOLDER / name).read_text())
        page.goto("about:blank")
        page.set_content(PAGE)
        page.wait_for_function("window.ready")
        page.wait_for_function("document.querySelector('.masklet-stage img').complete")

    def _save(self, values: dict[str, Any]) -> None:
        before = self.widget.get_state()
        self.widget.set_state(values)
        after = self.widget.get_state()
        changed = {name: value for name, value in after.items() if value != before[name] and name not in values}
        self.page.evaluate("values => window.receive(values)", self._encode(changed))

    @staticmethod
    def _encode(state: dict[str, Any]) -> dict[str, Any]:
        texts = {name: base64.b64encode(value).decode() for name, value in state.items() if isinstance(value, bytes)}
        names = [name for name in state if name == "object_id" or name in SegmentWidget.class_trait_names(sync=True)]
        own = {name: state[name] for name in names if isinstance(state[name], str | int | list)}
        return {**own, **{name: {"base64": text} for name, text in texts.items()}}

    def locate(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a pixel of the image in the page."""
        stage = self.page.locator(".masklet-stage").bounding_box()
        return stage["x"] + x / 60 * stage["width"], stage["y"] + y / 40 * stage["height"]

    def click(self, x: float, y: float, **options: Any) -> None:
        self.page.mouse.click(*self.locate(x, y), **options)
        self.settle()

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*self.locate(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.locate(*end), steps=4)
        self.page.mouse.up()
        self.settle()

    def settle(self) -> None:
        self.page.wait_for_function("!document.querySelector('.masklet-busy')")
        self.page.evaluate("Promise.all([...document.images].filter(i => i.src).map(i => i.decode()))")


@pytest.fixture
def cell(browser: Any) -> Iterator[Cell]:
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    image = np.kron(IMAGE, np.ones((10, 10, 1), np.uint8))  # 600 × 400 pixels on the screen
    widget = make_widget(IMAGE)
    widget._image = masklet.integrations.notebook.mask_layer.encode_image(image, (400, 600))
    yield Cell(page, widget)
    page.close()
    assert errors == []


def test_clicks_in_the_page_arrive_in_python(cell: Cell) -> None:
    cell.click(8, 10)
    assert box_of(cell.widget.masks, 1) == SMALL
    (prompt,) = cell.widget.prompts.values()
    assert np.allclose(prompt.points, [(8, 10)], atol=0.1) and prompt.labels.tolist() == [1]
    cell.click(2, 2, button="right")
    cell.page.keyboard.down("Shift")
    cell.click(58, 2)
    cell.page.keyboard.up("Shift")
    assert cell.widget.prompts[1].labels.tolist() == [1, 0, 0]
    assert cell.page.locator(".masklet-marks circle").count() == 3
    assert cell.page.locator('.masklet-marks circle[data-positive="false"]').count() == 2


def test_the_mask_is_drawn_over_its_object(cell: Cell) -> None:
    x, y = map(round, cell.locate(12, 20))
    before = screenshot(cell.page)[y, x].astype(int)
    cell.click(8, 10)
    after, outside = screenshot(cell.page)[y, x].astype(int), screenshot(cell.page)[y, x + 60]
    assert after[2] - before[2] > 20 and after[0] < before[0]  # bluer, the color of object 1
    assert outside.tolist() == [0, 0, 0]


def test_a_drag_is_a_box_and_n_starts_another_object(cell: Cell) -> None:
    cell.drag((25, 10), (55, 35))
    cell.page.keyboard.press("n")
    cell.settle()
    cell.drag((15, 25), (5, 5))  # from the lower right
    assert [prompt.labels.tolist() for prompt in cell.widget.prompts.values()] == [[2, 3], [2, 3]]
    assert box_of(cell.widget.masks, 1) == LARGE and box_of(cell.widget.masks, 2) == SMALL
    assert cell.page.locator(".masklet-marks rect").count() == 2
    buttons = cell.page.locator(".masklet-bar button[data-object]")
    assert buttons.all_inner_texts() == ["Object 1", "Object 2"]
    assert buttons.nth(1).get_attribute("aria-pressed") == "true"
    buttons.nth(0).click()
    cell.click(8, 10)
    assert cell.widget.object_id == 1 and cell.widget.prompts[1].point_count == 3


def test_undo_by_key_and_button_and_clear(cell: Cell) -> None:
    for x in (8, 10, 12):
        cell.click(x, 10)
    cell.page.keyboard.press("Control+z")
    cell.settle()
    assert cell.widget.prompts[1].point_count == 2
    cell.page.get_by_text("Undo", exact=True).click()
    cell.settle()
    assert cell.widget.prompts[1].point_count == 1
    cell.page.get_by_text("Clear object").click()
    cell.settle()
    assert cell.widget.prompts == {} and cell.page.locator(".masklet-marks circle").count() == 0


def test_python_changes_the_page_and_its_messages_are_shown(cell: Cell) -> None:
    cell.click(8, 10)
    cell._save({"_actions": [click(1, 900, 10)]})
    assert "outside" in cell.page.locator(".masklet-message").inner_text()
    assert not cell.page.locator(".masklet-busy").count()


def test_the_page_removes_its_handlers(cell: Cell) -> None:
    assert cell.page.evaluate("window.countHandlers()") == 8
    cell.page.evaluate("window.cleanup()")
    assert cell.page.evaluate("window.countHandlers()") == 0
