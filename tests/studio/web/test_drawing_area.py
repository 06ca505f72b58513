"""The drawing area of the studio in a browser: what is drawn, and what the mouse, fingers and keys do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from support.browser import launch_chromium, screenshot
from support.drawing_server import DrawingServer, serve_drawing_area

pytestmark = pytest.mark.slow

# The image of 400 × 300 pixels is shown twice as large, and fills the page.
SIZE = [300, 400]
SHOW = "view.show({medium: 1, frame: 0, size: [300, 400], frames: 20})"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launch_chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def server() -> Iterator[DrawingServer]:
    with serve_drawing_area() as running:
        yield running


@pytest.fixture
def page(browser: Any, server: DrawingServer) -> Iterator[Any]:
    """A page of 800 × 600 pixels with frame 0 of medium 1."""
    context = browser.new_context(viewport={"width": 800, "height": 600}, has_touch=True)
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    server.requests.clear()
    opened.goto(server.url)
    opened.get_by_role("application").wait_for()
    assert opened.evaluate(SHOW) is True
    yield opened
    context.close()
    assert problems == []


def calls(page: Any) -> list[list[Any]]:
    """Return the calls of actions but hovers since the last time."""
    made = page.evaluate("calls.splice(0)")
    return [call for call in made if call[0] not in ("hover", "hoverEnd")]


def set_masks(page: Any, *boxes: list[int], more: str = "{}") -> None:
    """Set rectangles as masks of objects 1, 2, …"""
    page.evaluate(
        "([boxes, size]) => view.setMasks({medium: 1, frame: 0, size}, boxes.map((box, index) => "
        f"({{object: index + 1, runs: rectangle(size, box), color: ['#ff0000', '#00ff00'][index], ...{more}}})))",
        [boxes, SIZE],
    )
    page.evaluate("drawn()")


def drag(page: Any, start: tuple[int, int], end: tuple[int, int], button: str = "left") -> None:
    page.mouse.move(*start)
    page.mouse.down(button=button)
    page.mouse.move((start[0] + end[0]) // 2, (start[1] + end[1]) // 2)
    page.mouse.move(*end)
    page.mouse.up(button=button)


def colors(page: Any, *positions: tuple[int, int]) -> list[tuple[int, ...]]:
    shown = screenshot(page)
    return [tuple(int(value) for value in shown[y, x]) for x, y in positions]


def place(page: Any) -> list[float]:
    """Left, top and scale of the image."""
    return list(page.evaluate("[view.viewport.transform.x, view.viewport.transform.y, view.viewport.transform.scale]"))


def test_masks_are_drawn_with_outlines_over_the_image(page: Any) -> None:
    set_masks(page, [50, 50, 150, 150], [100, 50, 200, 150])
    page.evaluate("view.viewport.setOpacity(0.5)")
    page.evaluate("drawn()")
    image, first, second = colors(page, (20, 20), (140, 200), (260, 200))
    assert image == (100, 100, 100)
    assert first == pytest.approx((178, 50, 50), abs=2)
    assert second == pytest.approx((50, 178, 50), abs=2)  # the later mask is over the earlier one
    row = screenshot(page)[200, 90:110]
    assert sorted({int(value) for value in row[:, 0]})[-1] >= 250  # the outline has the full color
    assert np.count_nonzero(np.ptp(row.astype(int), axis=1)[:10] > 100) <= 2  # and is thin
    page.evaluate("view.viewport.setActive(1)")
    page.evaluate("drawn()")
    assert colors(page, (260, 200)) == [pytest.approx((178, 50, 50), abs=2)]  # the active mask is over all others


def test_hidden_masks_are_neither_drawn_nor_picked(page: Any) -> None:
    set_masks(page, [50, 50, 150, 150], more="hidden: true".join("{}"))
    assert colors(page, (200, 200)) == [(100, 100, 100)]
    page.evaluate("view.setTool('select')")
    page.mouse.click(200, 200)
    assert calls(page) == [["pick", None]]
    set_masks(page, [50, 50, 150, 150])
    page.mouse.click(200, 200)
    assert calls(page) == [["pick", 1]]


def test_clicks_add_and_remove(page: Any) -> None:
    page.mouse.click(100, 60)
    page.mouse.click(200, 60, button="right")
    page.keyboard.down("Shift")
    page.mouse.click(300, 60)
    page.keyboard.up("Shift")
    assert calls(page) == [["click", 50, 30, True], ["click", 100, 30, False], ["click", 150, 30, False]]
    set_masks(page, [0, 0, 100, 100])
    page.keyboard.down("Alt")
    page.mouse.click(40, 140)
    page.keyboard.up("Alt")
    assert calls(page) == [["pick", 1]]


def test_a_drag_draws_a_box(page: Any) -> None:
    drag(page, (300, 200), (100, 100))
    assert calls(page) == [["box", 50, 50, 150, 100, False]]
    page.evaluate("view.setPrompt({points: [], box: null})")
    page.keyboard.down("Alt")
    drag(page, (100, 100), (850, 700))  # beyond the image
    page.keyboard.up("Alt")
    assert calls(page) == [["box", 50, 50, 400, 300, True]]
    page.evaluate("view.setPrompt({points: [], box: null})")
    drag(page, (100, 100), (103, 101))
    assert calls(page) == [["click", 50, 50, True]]


def test_points_are_moved_and_deleted(page: Any) -> None:
    page.evaluate("view.setPrompt({points: [[50, 50, 1], [100, 100, 0]], box: null})")
    drag(page, (201, 200), (301, 240))
    page.mouse.click(100, 100)
    assert calls(page) == [["movePoint", 1, 150.5, 120], ["deletePoint", 0]]
    assert page.evaluate("view._prompts.prompt.points") == [[150.5, 120, 0]]


def test_a_box_has_handles(page: Any) -> None:
    page.evaluate("view.setPrompt({points: [[75, 75, 1]], box: [50, 50, 150, 150]})")
    drag(page, (300, 300), (340, 320))  # a corner
    drag(page, (100, 205), (120, 300))  # the middle of the left edge moves it sideways only
    drag(page, (200, 100), (200, 80))  # the border near the top moves all of it
    assert calls(page) == [
        ["box", 50, 50, 170, 160, True],
        ["box", 60, 50, 170, 160, True],
        ["box", 60, 40, 170, 150, True],
    ]
    page.mouse.click(120, 80, button="right")
    assert calls(page) == [["deleteBox"]]


def test_pan_and_zoom_with_every_tool(page: Any) -> None:
    for tool in ("prompt", "brush", "polygon", "select"):
        page.evaluate("tool => { view.setTool(tool); view.viewport.fit() }", tool)
        drag(page, (100, 100), (150, 130), button="middle")
        assert place(page) == [50, 30, 2]
        page.keyboard.down("Space")
        drag(page, (100, 100), (50, 70))
        assert page.evaluate("view.spacePanned")
        page.keyboard.up("Space")
        assert place(page) == [0, 0, 2]
        page.mouse.move(200, 100)
        page.mouse.wheel(0, -300)
        page.evaluate("drawn()")
        left, top, zoom = place(page)
        assert zoom > 3
        assert [(200 - left) / zoom, (100 - top) / zoom] == pytest.approx([100, 50])  # it zooms at the pointer
    assert calls(page) == []


def test_a_rubber_band_stays_at_its_place_while_the_wheel_turns(page: Any) -> None:
    page.mouse.move(100, 100)
    page.mouse.down()
    page.mouse.move(200, 200)
    page.mouse.wheel(0, -300)
    page.evaluate("drawn()")
    page.mouse.up()
    assert calls(page) == [["box", 50, 50, 100, 100, False]]


def test_new_masks_and_frames_keep_the_view(page: Any) -> None:
    page.evaluate("view.viewport.zoomAt(200, 100, 3)")
    before = place(page)
    set_masks(page, [50, 50, 150, 150])
    assert page.evaluate("view.show({medium: 1, frame: 1, size: [300, 400], frames: 20})") is True
    assert place(page) == before
    assert page.evaluate("view.show({medium: 3, frame: 0, size: [600, 400], frames: 1})") is True
    assert place(page) == [200, 0, 1]  # an image of another size is shown whole


def test_of_several_frames_the_last_one_is_shown(page: Any) -> None:
    show = "view.show({medium: 1, frame, size: [300, 400], frames: 20})"
    shown = page.evaluate(f"Promise.all([7, 3, 9, 5].map(frame => {show}))")
    assert shown[-1] is True
    page.evaluate("drawn()")
    assert colors(page, (20, 20)) == [(105, 105, 105)]
    assert page.evaluate("events.filter(([name]) => name === 'frame').at(-1)") == ["frame", {"medium": 1, "frame": 5}]


def test_masks_appear_with_their_frame(page: Any) -> None:
    set_masks(page, [0, 0, 100, 100])
    page.evaluate(
        "view.setMasks({medium: 1, frame: 4, size: [300, 400]},"
        " [{object: 1, runs: rectangle([300, 400], [200, 0, 300, 100]), color: '#ff0000'}])"
    )
    page.evaluate("drawn()")
    assert colors(page, (50, 50), (500, 50))[1] == (100, 100, 100)
    page.evaluate("view.show({medium: 1, frame: 4, size: [300, 400], frames: 20})")
    page.evaluate("drawn()")
    first, second = colors(page, (50, 50), (500, 50))
    assert first == (104, 104, 104)
    assert second[0] > 130


def test_hover_is_throttled_and_waits_for_replies(page: Any) -> None:
    page.evaluate("void (hoverReply = () => new Promise(resolve => { window.reply = resolve }))")
    for x in range(100, 200, 2):
        page.mouse.move(x, 100)
    page.wait_for_timeout(150)
    assert page.evaluate("calls.length") == 1  # the others wait for the reply
    page.evaluate("reply()")
    page.wait_for_timeout(80)
    assert page.evaluate("calls.splice(0)")[1:] == [["hover", 99, 50]]  # only the last position
    page.mouse.click(198, 100)
    assert page.evaluate("calls.splice(0)") == [["hoverEnd"], ["click", 99, 50, True]]
    page.mouse.move(199, 100)
    page.wait_for_timeout(80)
    assert page.evaluate("calls.splice(0)") == []  # no preview over the result of a click


def painted(page: Any) -> Any:
    """Decode the mask of the last call of `paint`, (300, 400) bool."""
    [(_, runs, size)] = [call for call in calls(page) if call[0] == "paint"]
    assert size == SIZE
    flat = page.evaluate("runs => [...decodeRuns(new Uint32Array(runs), 300, 400)]", runs)
    return np.reshape(flat, SIZE).astype(bool)


def test_brush_and_eraser_change_the_active_mask(page: Any) -> None:
    set_masks(page, [50, 50, 150, 150])
    page.evaluate(
        "view.viewport.setActive(1); view.setTool('brush'); view.brushSize = 20; view.viewport.setOpacity(0.5)"
    )
    page.evaluate("void (paintReply = () => new Promise(resolve => { window.reply = resolve }))")
    page.mouse.move(400, 200)
    page.mouse.down()
    page.mouse.move(500, 200)
    page.evaluate("drawn()")
    assert colors(page, (450, 210))[0] == pytest.approx((178, 50, 50), abs=2)  # before the button is up
    page.mouse.up()
    mask = painted(page)
    assert mask[50:150, 50:150].all()
    assert mask[100, 190:260].all()
    assert mask[91:109, 200:250].all()
    assert mask.sum() == pytest.approx(100 * 100 + 20 * 50 + np.pi * 100, rel=0.01)
    set_masks(page, [50, 50, 150, 150])  # masks that were on the way
    page.evaluate("reply()")
    page.evaluate("drawn()")
    assert colors(page, (450, 210))[0] == pytest.approx((178, 50, 50), abs=2)  # the painted mask stays
    page.evaluate("paintReply = () => undefined; view.setTool('eraser')")
    drag(page, (100, 200), (300, 200))
    erased = painted(page)
    assert not erased[91:109, 50:150].any()
    assert erased[50:89, 50:150].all()
    page.wait_for_timeout(600)
    page.evaluate("drawn()")
    assert colors(page, (200, 200))[0] == pytest.approx((178, 50, 50), abs=2)  # nobody confirmed it


def test_size_of_the_brush(page: Any) -> None:
    page.evaluate("view.setTool('brush'); view.brushSize = 20; view.stepBrushSize(1)")
    assert page.evaluate("view.brushSize") == 23
    page.keyboard.down("Alt")
    drag(page, (100, 100), (140, 100), button="right")
    page.keyboard.up("Alt")
    assert page.evaluate("view.brushSize") == 63  # both edges of the circle follow the pointer
    assert calls(page) == []


def test_locked_masks_cannot_be_painted(page: Any) -> None:
    set_masks(page, [50, 50, 150, 150], more="locked: true".join("{}"))
    page.evaluate("view.viewport.setActive(1); view.setTool('brush')")
    drag(page, (400, 200), (500, 200))
    assert calls(page) == []
    assert "locked" in page.evaluate("events.at(-1)[1].detail")


def test_polygons_are_changed(page: Any) -> None:
    page.evaluate("view.setTool('polygon'); view.setPolygons([[[50, 50], [150, 50], [150, 150], [50, 150]]])")
    drag(page, (300, 300), (340, 320))
    drag(page, (200, 100), (200, 60))  # an edge
    page.mouse.click(100, 300, button="right")
    page.mouse.move(340, 320)
    page.evaluate("view.handleKey(new KeyboardEvent('keydown', {key: 'Delete'}))")
    assert [len(call[1][0]) for call in calls(page)] == [4, 5, 4, 3]
    assert page.evaluate("view._polygons.polygons") == [[[50, 50], [100, 30], [150, 50]]]


def test_a_polygon_is_drawn(page: Any) -> None:
    page.evaluate("view.setTool('polygon')")
    for x, y in ((100, 100), (300, 100), (300, 300)):
        page.mouse.click(x, y)
        page.wait_for_timeout(20)
    assert calls(page) == []
    page.evaluate("view.handleKey(new KeyboardEvent('keydown', {key: 'Enter'}))")
    assert calls(page) == [["setPolygons", [[[50, 50], [150, 50], [150, 150]]]]]
    page.mouse.click(500, 100)
    page.mouse.click(700, 100)
    page.mouse.dblclick(700, 300)
    assert calls(page)[-1][1][1] == [[250, 50], [350, 50], [350, 150]]
    page.mouse.click(500, 400)
    assert page.evaluate("view.handleKey(new KeyboardEvent('keydown', {key: 'Escape'}))")
    assert not page.evaluate("view.handleKey(new KeyboardEvent('keydown', {key: 'Escape'}))")
    assert calls(page) == []


def test_proposals_are_taken(page: Any) -> None:
    page.evaluate(
        "view.setProposals([[100, 100, 120, 120], [50, 50, 200, 200]]"
        ".map(box => ({runs: rectangle([300, 400], box), score: 1})), [300, 400]); view.setTool('proposals')"
    )
    page.mouse.click(210, 210)  # the smaller one is over the larger one
    page.mouse.click(110, 110)
    assert calls(page) == [["takeProposal", 0], ["takeProposal", 1]]
    page.evaluate("view.setTool('select')")
    page.mouse.click(110, 110)
    assert calls(page) == [["pick", None]]


def touch(session: Any, kind: str, *points: tuple[int, int]) -> None:
    """Send an event of fingers over a CDP session."""
    ids = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(points)]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": ids})


def test_fingers(page: Any) -> None:
    session = page.context.new_cdp_session(page)
    touch(session, "touchStart", (100, 100))
    touch(session, "touchEnd")
    assert calls(page) == [["click", 50, 50, True]]
    touch(session, "touchStart", (300, 100))
    page.wait_for_timeout(600)
    touch(session, "touchEnd")
    assert calls(page) == [["click", 150, 50, False]]  # a long press
    touch(session, "touchStart", (300, 200))
    touch(session, "touchStart", (300, 200), (400, 200))
    touch(session, "touchMove", (250, 300), (450, 300))
    touch(session, "touchEnd", (250, 300))
    touch(session, "touchMove", (200, 300))
    touch(session, "touchEnd")
    left, top, zoom = place(page)
    assert zoom == pytest.approx(4)
    assert [(350 - left) / zoom, (300 - top) / zoom] == pytest.approx([175, 100])
    assert calls(page) == []  # the first finger draws no box


def press(page: Any, *keys: str) -> None:
    """Give keys to the view, as shortcuts do."""
    for key in keys:
        shift = key.startswith("Shift+")
        page.evaluate(
            "([key, shiftKey]) => view.handleKey(new KeyboardEvent('keydown', {key, shiftKey}))",
            [key.removeprefix("Shift+"), shift],
        )


def test_everything_works_with_the_keyboard_cursor(page: Any) -> None:
    assert page.evaluate("view.toggleKeyboardCursor()") is True
    press(page, "ArrowRight", "Shift+ArrowDown", "Enter", "Shift+Enter")
    assert calls(page) == [["click", 200.5, 155, True], ["deletePoint", 0]]
    press(page, "Shift+ArrowLeft", "Shift+ArrowLeft", "Shift+Enter")
    assert calls(page) == [["click", 190.5, 155, False]]
    press(page, "x", *["Shift+ArrowRight"] * 4, *["Shift+ArrowDown"] * 2, "x")
    assert calls(page) == [["box", 190.5, 155, 210.5, 165, False]]
    page.evaluate("view.setTool('brush'); view.brushSize = 10")
    press(page, "g", *["Shift+ArrowUp"] * 8, "g")
    assert painted(page)[125:165, 208:213].all()
    press(page, "Escape")
    assert page.evaluate("events.at(-1)") == ["keyboard", {"on": False}]


def test_large_images_are_sharpened(page: Any, server: DrawingServer) -> None:
    page.evaluate("view.show({medium: 2, frame: 0, size: [6000, 8000], frames: 1})")
    page.evaluate("view.viewport.zoomAt(400, 300, 20)")
    page.wait_for_timeout(1500)
    [whole, part] = [path for path in server.requests if path.startswith("/frames/2/")]
    assert whole == "/frames/2/0?width=4096"
    assert part.startswith("/frames/2/0?region=3760,2820,4240,3180&")
    page.evaluate("drawn()")
    assert colors(page, (400, 300)) == [(200, 200, 200)]


def test_a_lost_context_is_restored(page: Any) -> None:
    set_masks(page, [50, 50, 150, 150])
    before = colors(page, (20, 20), (200, 200))
    page.evaluate(
        "new Promise(resolve => { const canvas = view.viewport.canvas;"
        " const extension = canvas.getContext('webgl2').getExtension('WEBGL_lose_context');"
        " canvas.addEventListener('webglcontextrestored', () => setTimeout(resolve, 100));"
        " extension.loseContext(); setTimeout(() => extension.restoreContext(), 100) })"
    )
    assert colors(page, (20, 20), (200, 200)) == before


def test_a_step_of_panning_uploads_nothing_whatever_the_number_of_objects(page: Any) -> None:
    page.evaluate("countCalls(WebGL2RenderingContext.prototype)")
    made = []
    for objects in (20, 200):
        page.evaluate(
            "count => { view.setMasks({medium: 1, frame: 0, size: [300, 400]}, grid(count, [300, 400])) }", objects
        )
        page.evaluate("drawn()")
        page.evaluate("() => { counts = {}; view.viewport.panBy(3, 2) }")
        page.evaluate("drawn()")
        made.append(page.evaluate("counts"))
    assert made[0] == made[1]
    assert made[0]["drawArrays"] == 1
    assert not {"texSubImage2D", "texImage2D", "generateMipmap"} & set(made[0])


def test_without_webgl_there_is_a_message(browser: Any, server: DrawingServer) -> None:
    opened = browser.new_page()
    opened.add_init_script(
        "const getContext = HTMLCanvasElement.prototype.getContext; HTMLCanvasElement.prototype.getContext ="
        " function (kind, ...rest) { return kind === 'webgl2' ? null : getContext.call(this, kind, ...rest) }"
    )
    opened.goto(server.url)
    assert "WebGL 2" in opened.get_by_role("alert").inner_text()
    opened.close()
