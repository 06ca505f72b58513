"""The live page in a browser: clicks and boxes apply to the frame that was shown, and what was saved is reported."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from masklet.errors import ResourceError
from masklet.http.security import Access
from masklet.masks.masks import Masks
from masklet.studio.app import Site
from masklet.studio.live import LiveCommands
from masklet.studio.live_prompts import LivePrompt
from masklet.studio.server import Server
from support.browser import launch_chromium

pytestmark = pytest.mark.slow

SIZE = (240, 320)


class Camera:
    """A session that shows a moving square, and one mask for each object that was prompted."""

    def __init__(self, outputs: dict[str, str], *, can_record: bool = False) -> None:
        self.commands = LiveCommands("camera 0", SIZE, outputs, can_record=can_record)
        self.server = Server(Site(self.commands, self.commands.clients, "live.html"), Access())
        self.prompts: list[LivePrompt] = []
        self._objects: dict[int, None] = {}
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the session without a report."""
        self._is_stopped.set()
        self._thread.join()
        self.server.close()

    def _run(self) -> None:
        number = 0
        while not self._is_stopped.wait(0.03):
            for action in self.commands.take_actions():
                if isinstance(action, LivePrompt):
                    self.prompts.append(action)
                    self._objects[action.object_id] = None
                else:
                    self._objects.pop(action.object_id, None)
            image = np.full((*SIZE, 3), 60, np.uint8)
            left = number % 200
            image[80:160, left : left + 80] = (200, 180, 60)
            binary = np.zeros((len(self._objects), *SIZE), bool)
            binary[:, 80:160, left : left + 80] = True
            masks = Masks.from_binary(binary, object_ids=[*self._objects]) if self._objects else Masks.empty(SIZE)
            status = {"frames": number + 1, "rate": 9.5, "dropped": 2}
            recording = "/birds/a.mp4" if self.commands.is_recording else None
            self.commands.show(number, image, masks, {**status, "recording": recording})
            number += 1


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launch_chromium() as launched:
        yield launched


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[[Camera], Any]]:
    """A function that opens the page of a camera through its private file."""
    problems: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 720})

    def open_camera(camera: Camera) -> Any:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("response", lambda response: problems.append(response.url) if response.status >= 400 else None)
        page.goto(camera.server.entry.path.as_uri())
        page.wait_for_url(camera.server.address)
        page.locator("[data-frame]").wait_for()
        return page

    yield open_camera
    context.close()
    assert problems == []


@pytest.fixture
def camera() -> Iterator[Camera]:
    with closing(Camera({"record": "/films/seen.mp4"})) as running:
        yield running


def wait_for(condition: Callable[[], bool], page: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    assert condition()


def shown_number(page: Any) -> int:
    """Return the number of the frame that is displayed."""
    return int(page.locator("[data-frame]").get_attribute("data-frame"))


def test_a_click_makes_one_object_on_the_frame_that_was_pressed_on(
    camera: Camera, open_page: Callable[[Camera], Any]
) -> None:
    page = open_page(camera)
    canvas = page.locator("canvas[role=application]")
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    pressed = shown_number(page)
    page.wait_for_timeout(600)  # some 20 frames arrive meanwhile
    page.mouse.up()
    wait_for(lambda: len(camera.prompts) == 1, page)
    prompt = camera.prompts[0]
    assert (prompt.frame, prompt.object_id) == (pressed, 1)
    (x, y), *rest = prompt.prompt.points.tolist()
    assert not rest and abs(x - 160) < 2 and abs(y - 120) < 2
    page.get_by_role("button", name="Object 1", exact=True).wait_for()


def test_a_double_click_makes_one_object_and_a_drag_a_box(camera: Camera, open_page: Callable[[Camera], Any]) -> None:
    page = open_page(camera)
    canvas = page.locator("canvas[role=application]")
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.dblclick(x, y)
    page.get_by_role("button", name="Object 1", exact=True).wait_for()
    assert {prompt.object_id for prompt in camera.prompts} == {1}
    assert camera.prompts[-1].prompt.point_count == 1
    page.keyboard.press("Enter")  # the next object
    page.mouse.move(x - 50, y - 50)
    page.mouse.down()
    page.mouse.move(x, y)
    page.mouse.move(x + 50, y + 50)
    page.mouse.up()
    page.get_by_role("button", name="Object 2", exact=True).wait_for()
    assert camera.prompts[-1].object_id == 2 and camera.prompts[-1].prompt.labels.tolist() == [2, 3]
    page.mouse.click(x, y, button="right")
    wait_for(lambda: camera.prompts[-1].prompt.labels.tolist()[-1] == 0, page)
    assert camera.prompts[-1].object_id == 2
    page.get_by_role("button", name="Remove object 1").click()
    page.get_by_role("button", name="Object 1", exact=True).wait_for(state="detached")


def test_clicks_on_a_paused_view_are_one_prompt(camera: Camera, open_page: Callable[[Camera], Any]) -> None:
    page = open_page(camera)
    canvas = page.locator("canvas[role=application]")
    box = canvas.bounding_box()
    page.get_by_role("button", name="Pause").click()
    wait_for(lambda: len(camera.commands.held_frames) == 1, page)
    (held,) = camera.commands.held_frames
    for offset in (-60, 0, 60):
        page.mouse.click(box["x"] + box["width"] / 2 + offset, box["y"] + box["height"] / 2)
    wait_for(lambda: bool(camera.prompts) and camera.prompts[-1].prompt.point_count == 3, page)
    assert {(prompt.frame, prompt.object_id) for prompt in camera.prompts} == {(held, 1)}
    page.keyboard.press("p")
    wait_for(lambda: not camera.commands.held_frames, page)


@pytest.mark.parametrize(
    ("outputs", "button", "text"),
    [
        ({"record": "/films/seen.mp4", "png": "/films/png"}, "Stop and save", "/films/seen.mp4"),
        ({}, "Stop", "Nothing was saved"),
    ],
)
def test_the_end_says_what_was_saved(
    outputs: dict[str, str], button: str, text: str, open_page: Callable[[Camera], Any]
) -> None:
    with closing(Camera(outputs)) as camera:
        page = open_page(camera)
        page.get_by_role("button", name=button, exact=True).click()
        wait_for(lambda: camera.commands.is_stopped, page)
        camera.commands.finish()
        page.get_by_role("alert").get_by_text(text).wait_for()
        assert page.get_by_text("Saved:").count() == bool(outputs)


def test_a_camera_of_the_studio_is_recorded(open_page: Callable[[Camera], Any]) -> None:
    with closing(Camera({}, can_record=True)) as camera:
        page = open_page(camera)
        page.get_by_role("button", name="Record", exact=True).click()
        page.get_by_role("button", name="Stop recording").click()
        wait_for(lambda: not camera.commands.is_recording, page)
        camera.commands.clients.broadcast({"event": "recorded", "path": "/birds/a.mp4", "medium": 3})
        page.get_by_text("Recorded /birds/a.mp4").first.wait_for()
        page.get_by_role("link", name="Open the studio").wait_for()
        page.get_by_role("button", name="Close the camera").click()
        wait_for(lambda: camera.commands.is_stopped, page)
        camera.commands.finish(is_saved=False)
        page.get_by_role("alert").get_by_text("The camera is closed").wait_for()


def test_a_lost_camera_and_a_lost_connection_are_no_success(open_page: Callable[[Camera], Any]) -> None:
    camera = Camera({"record": "/films/seen.mp4"})
    page = open_page(camera)
    lost = ResourceError("camera-lost", "camera 0 is lost")
    camera.commands.finish(lost)
    page.get_by_role("alert").get_by_text("camera 0 is lost").wait_for()
    page.get_by_text("/films/seen.mp4").last.wait_for()
    page.close()
    other = open_page(camera)
    camera.close()
    other.get_by_role("alert").get_by_text("masklet has ended").wait_for()
    assert other.get_by_text("Saved:").count() == 0
