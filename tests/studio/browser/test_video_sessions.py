"""A session with a clip: two objects are tracked, corrected, accepted and exported."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from masklet.formats import coco
from masklet.project.project import Project
from support.studio_browser import EXAMPLES, StudioPage, StudioProcess, expect

pytestmark = pytest.mark.slow

Open = Callable[..., tuple[StudioProcess, StudioPage]]
SIZE, FRAMES = (384, 384), 72
CAR, MEADOW = (145, 212), (200, 350)
TRACKED = "track"


def list_tracked(project: Project, object_id: int) -> list[int]:
    """Return the frames of an object that are tracked."""
    cells = {frame: project.document.cell(1, object_id, frame) for frame in range(FRAMES)}
    return [frame for frame, cell in cells.items() if cell is not None and cell.source == TRACKED]


def jump(window: StudioPage, frame: int) -> None:
    """Show a frame by its number."""
    number = window.page.get_by_label("Frame", exact=True)
    number.fill(str(frame))
    number.press("Enter")
    expect(window.page.locator("canvas[aria-busy=false]")).to_be_visible()


def test_two_objects_are_tracked_corrected_accepted_and_exported(open_studio: Open) -> None:
    studio, window = open_studio(EXAMPLES / "car.mp4")
    for index, position in enumerate((CAR, MEADOW)):
        window.click(*position, SIZE)
        expect(window.objects()).to_have_count(index + 1)
        expect(window.mask()).to_contain_text("prompted, score")
        window.press("Enter")

    window.press("t")
    progress = window.page.get_by_role("progressbar", name="Tracking")
    expect(window.page.get_by_text(re.compile(r"^Frame \d+ · \d+ of "))).to_be_visible()
    window.press("q")
    expect(progress).to_be_hidden()
    with studio.read() as project:
        tracked = list_tracked(project, 1)
        assert tracked == list(range(1, len(tracked) + 1))
        assert len(tracked) < FRAMES - 1
        before = project.document.cell(1, 2, tracked[-1])

    middle, last = max(1, tracked[-1] // 2), tracked[-1]
    jump(window, middle)
    window.objects().first.get_by_role("button").first.click()
    expect(window.mask()).to_contain_text("tracked")
    window.click(60, 60, SIZE, button="right")
    expect(window.mask()).to_contain_text("prompted")
    if last > middle:
        frames = f"{last - middle} frame{'s' * (last - middle > 1)}, {middle + 1} to {last},"
        expect(window.page.get_by_text(f"{frames} depend on this correction.")).to_be_visible()
        window.button("Recompute").click()
        expect(window.page.get_by_text("depend on this correction.")).to_be_hidden()
        expect(progress).to_be_hidden()
        with studio.read() as project:
            assert list_tracked(project, 1) == [frame for frame in tracked if frame != middle]
            assert project.document.cell(1, 2, last) == before  # the other object stays as it is

    window.press("Escape", "Home", "t")
    expect(progress).to_be_visible()
    expect(progress).to_be_hidden(timeout=180_000)
    expect(window.status("Saved")).to_be_visible()
    with studio.read() as project:
        assert list_tracked(project, 2) == list(range(1, FRAMES))
        assert list_tracked(project, 1) == [frame for frame in range(1, FRAMES) if frame != middle]

    jump(window, 10)
    window.press("i")
    jump(window, 20)
    window.press("o", "Shift+Y")
    expect(window.button("Undo: accept")).to_be_visible()
    with studio.read() as project:
        for object_id in (1, 2):
            accepted = project.document.cells.accepted(1, object_id, FRAMES)
            assert np.flatnonzero(accepted).tolist() == list(range(10, 21))

    window.press("Control+e")
    dialog = window.page.get_by_role("dialog")
    expect(dialog.get_by_label("COCO")).to_be_checked()
    dialog.get_by_role("button", name="Export", exact=True).click()
    expect(dialog.get_by_role("link", name="Download as zip")).to_be_visible()
    [path] = Path(dialog.locator("code").inner_text()).rglob("*.json")
    with studio.read() as project:
        masks = project.masks(1)
        frames = list(coco.read(path))
        assert len(frames) == FRAMES
        for frame in frames:
            exported = dict(zip(frame.masks.object_ids, frame.masks.binary, strict=True))
            for object_id in (1, 2):
                cell = project.document.cell(1, object_id, frame.index)
                assert cell is not None
                assert cell.mask is not None
                expected = masks.read(cell.mask)
                assert np.array_equal(exported.get(object_id, np.zeros_like(expected)), expected)


def test_lanes_play_steps_and_review(open_studio: Open) -> None:
    studio, window = open_studio(EXAMPLES / "car.mp4")
    frame = window.page.get_by_label("Frame", exact=True)
    window.press("ArrowRight", "d", "Shift+ArrowRight")
    expect(frame).to_have_value("12")
    window.press("ArrowLeft", "End")
    expect(frame).to_have_value("71")
    window.press("Home")
    expect(frame).to_have_value("0")
    window.press("Space")
    expect(window.button("Pause")).to_be_visible()
    expect(frame).not_to_have_value("0")
    window.press("Space")
    expect(window.button("Play")).to_be_visible()
    window.press("Home")
    window.click(*CAR, SIZE)
    expect(window.mask()).to_contain_text("prompted, score")
    window.press("End", "x")
    expect(window.mask()).to_contain_text("marked as absent")
    window.press(",")
    expect(frame).to_have_value("0")
    window.press(".")
    expect(frame).to_have_value("71")
    jump(window, 5)
    window.press("i")
    jump(window, 8)
    window.press("o")
    expect(window.button("Track frames 5 to 8")).to_be_enabled()
    jump(window, 0)
    window.press("i")
    expect(window.button("Track frames 0 to 8")).to_be_enabled()
    window.press("r")
    expect(window.button("Undo: track")).to_be_visible()
    expect(window.page.get_by_role("progressbar", name="Tracking")).to_be_hidden()
    with studio.read() as project:
        assert list_tracked(project, 1) == list(range(1, 9))
    lanes = window.page.locator("#timeline-panel canvas").first
    box = lanes.bounding_box()
    window.page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + 10)
    expect(frame).not_to_have_value("0")
