"""Sessions that look at results: tracking backward, review, all exports of a clip, previews, solo, zoom and pan."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from masklet.formats import read_masks
from masklet.project.cells import Cell
from masklet.project.entries import ProjectObject, object_key
from masklet.project.media import add_media
from masklet.project.project import Project
from masklet.video import open_video
from support.studio_browser import EXAMPLES, StudioPage, StudioProcess, expect

pytestmark = pytest.mark.slow

Open = Callable[..., tuple[StudioProcess, StudioPage]]
SIZE, FRAMES, START = (384, 384), 72, 12
CAR, MEADOW = (160.5, 206.5), (200.5, 350.5)
EXACT = {"COCO": "coco.json", "YouTube-VIS": "ytvis.json", "MOTS": "mots.txt", "SA-V": "sav",
         "Mask images (PNG)": "png", "NumPy (npz)": "masks.npz"}  # fmt: skip
OUTLINES = {"YOLO": "yolo", "CVAT": "cvat.xml", "LabelMe": "labelme"}
VIDEOS = {"Overlay": "overlay.mp4", "Cut-out": "cutout.webm", "Blurred background": "blur.mp4",
          "Blurred objects": "blur_objects.mp4", "Spotlight": "spotlight.mp4",
          "Replaced background": "background.mp4"}  # fmt: skip


def show_frame(window: StudioPage, frame: int) -> None:
    """Show a frame by its number."""
    number = window.page.get_by_label("Frame", exact=True)
    number.fill(str(frame))
    number.press("Enter")
    expect(window.page.locator("canvas[aria-busy=false]")).to_be_visible()


def look(window: StudioPage, position: tuple[float, float]) -> NDArray[np.int64]:
    """Return the color that the page shows at a position."""
    x, y = position
    shot = window.page.screenshot(clip={"x": x - 1, "y": y - 1, "width": 3, "height": 3})
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), np.int64)[1, 1]


def test_a_clip_is_tracked_backward_and_exported_in_every_format(open_studio: Open) -> None:
    studio, window = open_studio(EXAMPLES / "car.mp4")
    show_frame(window, START)
    for count, position in enumerate((CAR, MEADOW), start=1):
        window.click(*position, SIZE)
        expect(window.objects()).to_have_count(count)
        expect(window.mask()).to_contain_text("prompted, score")
        window.press("Enter")
    window.press("Alt+t")
    expect(window.status(f"Tracking finished after {START} frames.")).to_be_visible(timeout=180_000)

    window.press("Control+e")
    dialog = window.page.get_by_role("dialog")
    for name in (*EXACT, *OUTLINES, *VIDEOS):
        dialog.get_by_label(name, exact=True).check()
    dialog.get_by_role("button", name="Export", exact=True).click()
    expect(dialog.get_by_role("link", name="Download as zip")).to_be_visible(timeout=300_000)
    folder = Path(dialog.locator("code").inner_text()) / "car"

    with studio.read() as project:
        masks = {}
        for object_id in (1, 2):
            for frame in project.document.cells.frames_of(1, object_id).tolist():
                cell = project.document.cell(1, object_id, frame)
                assert cell is not None
                assert cell.mask is not None
                masks[object_id, frame] = project.masks(1).read(cell.mask)
    assert [frame for object_id, frame in masks if object_id == 1] == [*range(START + 1)]
    for name, path in {**EXACT, **OUTLINES}.items():
        found = {}
        for annotated in read_masks(folder / path):
            pairs = zip(annotated.masks.object_ids, annotated.masks.binary, strict=True)
            found |= {(object_id, annotated.index): mask for object_id, mask in pairs if mask.any()}
        assert found.keys() == {key for key, mask in masks.items() if mask.any()}, name
        for key, mask in found.items():
            different = np.mean(mask != masks[key])
            assert different == 0 if name in EXACT else different < 0.01, (name, key)
    for name, path in VIDEOS.items():
        with open_video(folder / path) as video:
            assert (len(video), video.size) == (FRAMES, SIZE[::-1]), name
    with open_video(folder / "blur_objects.mp4") as video, open_video(EXAMPLES / "car.mp4") as original:
        change = np.abs(video[0].astype(int) - original[0]).mean(axis=2)
        covered = masks[1, 0] | masks[2, 0]
        assert change[covered].mean() > 2 * change[~covered].mean()


def test_j_and_k_go_through_the_frames_to_review(open_studio: Open, tmp_path: Path) -> None:
    scores = {8: 0.3, 9: 0.2, 10: 0.4, 30: 0.1}  # three neighbors are one suggestion
    with Project.open(tmp_path / "project") as project:
        add_media(project, [EXAMPLES / "car.mp4"])
        mask = np.zeros(SIZE, bool)
        mask[100:200, 50:150] = True
        number = project.masks(1).add(mask)
        cells = {(1, 1, frame): Cell(number, scores.get(frame, 0.9), "track") for frame in range(60)}
        cells[1, 1, 0] = Cell(number, 1.0, "prompt")
        cells[1, 1, 50] = Cell(project.masks(1).add(mask & (np.arange(384) < 60)), 0.9, "track")
        project.act("track", {object_key(1, 1): ProjectObject("box", None, "#ff0000").to_json()}, cells)

    _, window = open_studio()
    frame = window.page.get_by_label("Frame", exact=True)
    for expected, reason in ((9, "the score is low"), (30, "the score is low"), (50, "the size of the mask jumps")):
        window.press("j")
        expect(frame).to_have_value(str(expected))
        expect(window.message(f"Frame {expected}, box: {reason}")).to_be_visible()
    window.press("k")
    expect(frame).to_have_value("30")
    window.press("y")
    expect(window.mask()).to_contain_text("accepted")
    window.press("Home", "j")
    expect(frame).to_have_value("9")
    window.press("j")
    expect(frame).not_to_have_value("30")  # what is accepted needs no review


def test_previews_solo_zoom_and_pan(open_studio: Open) -> None:
    _, window = open_studio(EXAMPLES / "car.mp4")
    car, meadow = window.position(*CAR, SIZE), window.position(*MEADOW, SIZE)
    expect(window.page.get_by_text("Encoding…")).to_be_hidden()
    bare = look(window, meadow)
    window.page.mouse.move(*meadow)
    expect_change(window, meadow, bare)
    window.page.mouse.move(*window.position(-20, 20, SIZE))
    expect_change(window, meadow, bare, back=True)

    for count, (x, y) in enumerate((CAR, MEADOW), start=1):
        window.click(x, y, SIZE)
        expect(window.objects()).to_have_count(count)
        expect(window.mask()).to_contain_text("prompted, score")
        window.press("Enter")
    window.page.mouse.move(*window.position(-20, 20, SIZE))
    covered = look(window, meadow)
    assert np.abs(covered - bare).sum() > 30
    window.objects().first.get_by_role("button").first.click()
    window.press("Shift+S")
    expect_change(window, meadow, bare, back=True)
    window.press("Shift+S")
    expect_change(window, meadow, covered, back=True)

    window.press("b")  # zoom and pan work with every tool
    place = window.page.locator("#status-line > span").last
    near = re.compile(r"^1(59|60|61), 20(5|6|7)$")  # events have whole pixels
    window.page.mouse.move(*car)
    expect(place).to_have_text(near)
    whole = shown_width(window)
    for _ in range(3):
        window.page.mouse.wheel(0, -240)
    window.page.mouse.move(car[0] + 1, car[1])
    expect(place).to_have_text(near)
    assert shown_width(window) < whole / 2
    window.page.mouse.down(button="middle")
    window.page.mouse.move(car[0] + 61, car[1] + 40, steps=4)
    expect(place).to_have_text(near)
    window.page.mouse.up(button="middle")
    expect(window.button("Undo: prompt")).to_be_enabled()  # nothing was painted


def shown_width(window: StudioPage) -> float:
    """Return how many pixels of the image 100 pixels of the page show, from the place of the pointer."""
    place, (x, y) = window.page.locator("#status-line > span").last, window.position(*CAR, SIZE)
    found = []
    for step in (-50, 50, 0):
        window.page.mouse.move(x + step, y)
        window.page.wait_for_timeout(100)
        found.append(float(place.inner_text().partition(",")[0]))
    return found[1] - found[0]


def expect_change(
    window: StudioPage, position: tuple[float, float], color: NDArray[np.int64], *, back: bool = False
) -> None:
    """Wait until the page shows another color at a position, or the color again."""
    for _ in range(600):
        change = np.abs(look(window, position) - color).sum()
        if (change < 12) if back else (change > 30):
            return
        window.page.wait_for_timeout(100)
    raise AssertionError(f"the color at {position} differs by {change}")
