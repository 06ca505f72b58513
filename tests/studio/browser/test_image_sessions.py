"""Sessions with images: clicks, boxes, brush, polygons, proposals, classes, export of effects."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from support.studio_browser import EXAMPLES, StudioPage, StudioProcess, expect

pytestmark = pytest.mark.slow

Open = Callable[..., tuple[StudioProcess, StudioPage]]
CAT, FISH, COFFEE = (451, 300), (320, 214), (600, 400)  # width, height


def read_prompt(studio: StudioProcess, object_id: int = 1, medium: int = 1) -> tuple[list[Any], Any]:
    """Return points and box of a prompt on frame 0 as the project has them."""
    with studio.read() as project:
        prompt = project.document.prompt(medium, object_id, 0)
        assert prompt
        return [list(point) for point in prompt.points], prompt.box


def read_mask(studio: StudioProcess, object_id: int = 1, medium: int = 1) -> NDArray[np.bool_] | None:
    """Return a mask of frame 0 as the project has it."""
    with studio.read() as project:
        cell = project.document.cell(medium, object_id, 0)
        return None if cell is None or cell.mask is None else project.masks(medium).read(cell.mask)


def test_clicks_corrections_undo_and_candidates(open_studio: Open) -> None:
    studio, window = open_studio(EXAMPLES / "cat.jpg")
    window.click(232, 120, CAT)
    expect(window.mask()).to_contain_text("prompted, score")
    expect(window.button("Candidate 1")).to_have_attribute("aria-pressed", "true")
    best = read_mask(studio)
    window.press("Tab")
    expect(window.button("Candidate 2")).to_have_attribute("aria-pressed", "true")
    expect(window.status("Saved")).to_be_visible()
    second = read_mask(studio)
    assert best is not None
    assert second is not None
    assert not np.array_equal(best, second)
    window.click(150, 190, CAT)
    expect(window.button("Candidate 1")).to_be_hidden()
    window.click(420, 40, CAT, button="right")
    expect(window.button("Undo: prompt")).to_be_enabled()
    window.page.keyboard.down("Shift")
    window.click(20, 280, CAT)
    window.page.keyboard.up("Shift")
    expect(window.status("Saved")).to_be_visible()
    points, box = read_prompt(studio)
    assert np.allclose(points, [[232, 120, 1], [150, 190, 1], [420, 40, 0], [20, 280, 0]], atol=0.7)
    assert box is None
    window.press("Control+z", "Control+z")
    expect(window.button("Redo", exact=False)).to_be_enabled()
    expect(window.status("Saved")).to_be_visible()
    assert len(read_prompt(studio)[0]) == 2
    window.press("Control+Shift+z")
    expect(window.status("Saved")).to_be_visible()
    assert [point[2] for point in read_prompt(studio)[0]] == [1, 1, 0]
    window.press("Enter")
    expect(window.mask()).to_be_hidden()
    window.click(30, 30, CAT)
    expect(window.objects()).to_have_count(2)


def test_a_double_click_makes_one_point(open_studio: Open) -> None:
    studio, window = open_studio(EXAMPLES / "fish.jpg")
    window.page.mouse.dblclick(*window.position(160, 90, FISH))
    expect(window.mask()).to_contain_text("prompted, score")
    assert len(read_prompt(studio)[0]) == 1
    window.page.wait_for_timeout(600)  # what a double click may last
    window.click(160, 90, FISH)
    expect(window.mask()).to_contain_text("no mask")  # a later click on the point deletes it


def test_the_last_of_many_clicks_wins(open_studio: Open) -> None:
    studio, window = open_studio(EXAMPLES / "coffee.jpg")
    for index in range(20):
        window.click(200 + 10 * index, 150 + 7 * (index % 5), COFFEE)
    expect(window.mask()).to_contain_text("prompted")
    expect(window.status("Saved")).to_be_visible()
    expect(window.status("Encoding…")).to_be_hidden()
    expect(window.objects()).to_have_count(1)
    points, _ = read_prompt(studio)
    assert np.allclose([point[0] for point in points], 200 + 10 * np.arange(20), atol=0.7)
    with studio.read() as project:
        steps = sum(step.action == "prompt" for step in project._log.steps_after(0))
    for _ in range(50):
        if not window.objects().count():
            break
        window.press("Control+z")
        expect(window.status("Saved")).to_be_visible()
    expect(window.objects()).to_have_count(0)
    assert steps >= 20
    for _ in range(50):
        if window.button("Redo", exact=False).is_disabled():
            break
        window.press("Control+Shift+z")
        expect(window.status("Saved")).to_be_visible()
    assert len(read_prompt(studio)[0]) == 20


def test_boxes_brush_eraser_and_polygons(open_studio: Open) -> None:
    studio, window = open_studio(EXAMPLES / "fish.jpg")
    window.drag(FISH, (60, 50), (270, 150))
    expect(window.mask()).to_contain_text("prompted, score")
    assert np.allclose(read_prompt(studio)[1], [60, 50, 270, 150], atol=0.7)
    window.click(126, 100, FISH)
    expect(window.status("Saved")).to_be_visible()
    points, box = read_prompt(studio)
    assert len(points) == 1
    assert np.allclose(box, [60, 50, 270, 150], atol=0.7)  # clicks keep the box
    window.press("b")
    expect(window.page.get_by_label("Size")).to_be_visible()
    window.press("]", "]")
    window.drag(FISH, (20, 20), (60, 20))
    expect(window.mask()).to_contain_text("edited")
    painted = read_mask(studio)
    assert painted is not None
    assert painted[20, 20:60].all()
    window.press("e")
    window.drag(FISH, (20, 20), (60, 20))
    expect(window.button("Undo: paint")).to_be_visible()
    expect(window.status("Saved")).to_be_visible()
    erased = read_mask(studio)
    assert erased is not None
    assert not erased[20, 25:55].any()
    window.press("g")
    vertices = window.region("Objects and classes").get_by_text(re.compile(r"^\d+ vertices$")).first
    expect(vertices).not_to_have_text("0 vertices")
    many = int(vertices.inner_text().split()[0])
    window.page.get_by_label("Simplify").fill("8")
    expect(vertices).not_to_have_text(f"{many} vertices")
    assert int(vertices.inner_text().split()[0]) < many
    window.button("Apply").click()
    expect(window.button("Undo: edit polygons")).to_be_visible()
    simplified = read_mask(studio)
    assert simplified is not None
    intersection, union = (simplified & erased).sum(), (simplified | erased).sum()
    assert 0.5 < intersection / union < 1


def test_proposals_become_objects(open_studio: Open) -> None:
    studio, window = open_studio(EXAMPLES / "fish.jpg")
    window.press("m")
    proposals = window.page.locator("#side-panel").get_by_role("status").get_by_text("proposal")
    expect(proposals).to_be_visible(timeout=180_000)
    found = int(proposals.inner_text().split()[0])
    assert found >= 1
    window.click(160, 90, FISH)
    expect(window.objects()).to_have_count(1)
    expect(proposals).to_have_text(f"{found - 1} proposal{'s' * (found != 2)}")
    expect(window.status("Saved")).to_be_visible()
    assert read_mask(studio) is not None
    if found > 1:
        window.button("Take all").click()
        expect(window.objects()).to_have_count(found)


def add_class(window: StudioPage, name: str, attributes: str = "") -> None:
    """Add a class in the list of classes."""
    window.button("Add a class").click()
    dialog = window.page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(name)
    dialog.get_by_label("Attributes").fill(attributes)
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog).to_have_count(0)


def test_classes_attributes_checked_search_statistics_and_copies(open_studio: Open, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name, source in {"cat.jpg": "cat.jpg", "copy.jpg": "cat.jpg", "fish.jpg": "fish.jpg"}.items():
        shutil.copy(EXAMPLES / source, images / name)
    studio, window = open_studio(images)
    window.open("cat.jpg")
    add_class(window, "animal", "species, pose")
    add_class(window, "cup")
    window.press("1")
    window.click(232, 120, CAT)
    expect(window.objects()).to_have_count(1)
    expect(window.objects().first).to_contain_text("animal 1")
    expect(window.mask()).to_contain_text("prompted, score")
    window.page.locator("#properties").get_by_label("species").fill("cat")
    window.press("Enter")
    expect(window.status("Saved")).to_be_visible()
    window.page.locator("#classes").get_by_text("cup").hover()
    window.button("Edit cup").click()
    window.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(window.page.get_by_role("dialog")).to_have_count(0)
    window.press("2")
    expect(window.objects().first).to_contain_text("cup 1")
    window.press("1", "F2")
    name = window.page.get_by_label("Name of the object")
    name.fill("tom")
    name.press("Enter")
    expect(window.objects().first).to_contain_text("tom")
    window.press("Escape", "c")  # copies to the next image, and shows it
    expect(window.page.locator("[role=option][aria-selected=true]")).to_contain_text("copy.jpg")
    expect(window.objects()).to_have_count(1)
    window.press("Control+Enter")
    expect(window.page.get_by_text("1/3 checked")).to_be_visible()
    expect(window.page.locator("[role=option][aria-selected=true]")).to_contain_text("fish.jpg")
    window.press("/")
    window.page.keyboard.type("tom")
    expect(window.medium()).to_have_count(2)
    window.page.get_by_label("Search images and videos").fill("species")
    expect(window.medium()).to_have_count(0)
    window.page.get_by_label("Search images and videos").fill("cat")
    expect(window.medium("cat.jpg")).to_be_visible()
    window.page.get_by_label("Search images and videos").fill("")
    window.page.get_by_label("Unchecked only").check()
    expect(window.medium()).to_have_count(2)
    window.button("Statistics").click()
    dialog = window.page.get_by_role("dialog")
    expect(dialog.get_by_role("row", name="Checked")).to_contain_text("1 of 3")
    expect(dialog.get_by_role("row", name="animal")).to_contain_text("animal22")
    window.press("Escape")
    with studio.read() as project:
        first, second = project.document.object_of(1, 1), project.document.object_of(2, 1)
        assert (first.name, dict(first.attributes)) == ("tom", {"species": "cat"})
        assert (second.name, dict(second.attributes)) == ("tom", {"species": "cat"})


def test_annotation_files_are_imported(open_studio: Open, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in ("cat.jpg", "fish.jpg"):
        (folder / name).write_bytes((EXAMPLES / name).read_bytes())
    shape = {"label": "animal", "points": [[40, 40], [200, 40], [200, 160], [40, 160]], "shape_type": "polygon"}
    size = {"imageHeight": 300, "imageWidth": 451}
    record = {"version": "5.0.0", "flags": {}, "shapes": [shape], "imagePath": "cat.jpg", "imageData": None, **size}
    (folder / "cat.json").write_text(json.dumps(record))
    studio, window = open_studio(folder)
    window.open("cat.jpg")
    window.button("Import annotations").click()
    window.button(f"Import {folder / 'cat.json'}").click()
    expect(window.objects()).to_have_count(1)
    expect(window.objects().first).to_contain_text("animal")
    mask = read_mask(studio)
    assert mask is not None
    assert mask[50:150, 50:190].all()
    assert mask.sum() == pytest.approx(160 * 120, rel=0.05)
    window.button("Import annotations").click()
    window.page.get_by_label("Annotation file").set_input_files(folder / "cat.json")
    expect(window.message("1 object imported.").first).to_be_visible()
    window.objects().last.get_by_role("button").first.click()
    window.click(300, 200, CAT)  # and corrected
    expect(window.mask()).to_contain_text("prompted")


def test_effects_are_exported(open_studio: Open, tmp_path: Path) -> None:
    studio, window = open_studio(EXAMPLES / "fish.jpg")
    window.drag(FISH, (60, 50), (270, 150))
    expect(window.mask()).to_contain_text("prompted, score")
    window.press("Control+e")
    dialog = window.page.get_by_role("dialog")
    dialog.get_by_label("COCO").uncheck()
    for effect in ("Cut-out", "Blurred background", "Spotlight", "Replaced background"):
        dialog.get_by_label(effect, exact=True).check()
    dialog.get_by_role("button", name="Export", exact=True).click()
    link = dialog.get_by_role("link", name="Download as zip")
    expect(link).to_be_visible()
    with window.page.expect_download() as download:
        link.click()
    download.value.save_as(tmp_path / "effects.zip")
    files = zipfile.ZipFile(tmp_path / "effects.zip").namelist()
    assert len(files) >= 4, files
    folder = Path(dialog.locator("code").inner_text())
    images = [path for path in folder.rglob("*") if path.suffix in (".png", ".jpg", ".webp")]
    assert len(images) == 4, files
    [cutout] = [path for path in images if "cutout" in str(path)]
    alpha = np.asarray(Image.open(cutout).convert("RGBA"))[..., 3]
    mask = read_mask(studio)
    assert mask is not None
    assert np.array_equal(alpha > 127, mask)


def test_everything_works_with_the_keyboard(open_studio: Open) -> None:
    studio, window = open_studio(EXAMPLES / "cat.jpg", EXAMPLES / "fish.jpg")
    expect(window.page.locator("[role=option][aria-selected=true]")).to_contain_text("cat.jpg")
    window.press("ArrowRight")
    expect(window.page.locator("[role=option][aria-selected=true]")).to_contain_text("fish.jpg")
    expect(window.page.locator("canvas[aria-busy=false]")).to_be_visible()
    window.press("f", "Enter")  # the cursor begins in the middle
    expect(window.mask()).to_contain_text("prompted, score")
    window.press(*["Shift+ArrowLeft"] * 8, "Enter", *["Shift+ArrowUp"] * 14, "Shift+Enter", "Escape")
    expect(window.status("Saved")).to_be_visible()
    points, _ = read_prompt(studio, medium=2)
    assert [point[2] for point in points] == [1, 1, 0]
    assert np.allclose(points[0][:2], [160, 107], atol=1)
    window.press("n", "f", "x", *["Shift+ArrowRight"] * 9, *["Shift+ArrowDown"] * 6, "x", "Escape")
    expect(window.objects()).to_have_count(2)
    window.press("w", "l")  # the previous object, locked
    expect(window.button("Unlock Object 1")).to_be_visible()
    window.press("Delete")
    expect(window.message("Object 1 is locked")).to_be_visible()
    window.press("l", "h")
    expect(window.button("Show Object 1")).to_be_visible()
    window.press("Delete")
    expect(window.objects()).to_have_count(1)
    window.press("Control+z", "Shift+Enter")
    expect(window.objects()).to_have_count(2)
    expect(window.page.get_by_text("1/2 checked")).to_be_visible()
    window.press("?")
    expect(window.page.get_by_role("dialog")).to_contain_text("Next candidate mask")
    window.press("Escape")
    expect(window.page.get_by_role("dialog")).to_have_count(0)
