"""A newcomer, who has read nothing but `docs/studio.md`, labels ten images and a clip with mouse and keyboard."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

playwright = pytest.importorskip("playwright.sync_api")

from support.browser import launch_chromium  # noqa: E402

ROOT = Path(__file__).parents[3]
WAIT = 120_000  # milliseconds
PAUSE = 300  # milliseconds: a person does not press two keys at once
REDUCE = 4  # screenshots are searched at this fraction of their size

# Class, photograph, part of it or None for all, mirrored, point on the object in the photograph
IMAGES = [
    ("fish", "fish.jpg", None, False, (150, 104)),
    ("cat", "cat.jpg", None, False, (243, 82)),
    ("cup", "coffee.jpg", None, False, (312, 220)),
    ("rocket", "rocket.jpg", (160, 90, 480, 427), False, (322, 256)),
    ("fish", "fish.jpg", None, True, (150, 104)),
    ("cat", "cat.jpg", None, True, (243, 82)),
    ("cup", "coffee.jpg", None, True, (312, 220)),
    ("rocket", "rocket.jpg", (160, 90, 480, 427), True, (322, 256)),
    ("fish", "fish.jpg", (20, 30, 300, 190), False, (150, 104)),
    ("cup", "coffee.jpg", (60, 0, 500, 400), True, (312, 220)),
]
CLASSES = ["fish", "cat", "cup", "rocket", "car", "wheel", "grass"]  # the digits 1 to 7
FRAMES = 8


def make_images(folder: Path) -> list[tuple[str, str, tuple[int, int]]]:
    """Write the ten images; return the name, class and point of each."""
    folder.mkdir()
    made = []
    for number, (label, photo, part, mirrored, (x, y)) in enumerate(IMAGES):
        image = Image.open(ROOT / "examples" / photo).convert("RGB")
        if part:
            image, x, y = image.crop(part), x - part[0], y - part[1]
        if mirrored:
            image, x = ImageOps.mirror(image), image.width - 1 - x
        name = f"{number:02d}_{label}.png"
        image.save(folder / name)
        made.append((name, label, (x, y)))
    return made


def first_frame(clip: Path) -> Image.Image:
    av = pytest.importorskip("av")
    with av.open(str(clip)) as container:
        return next(container.decode(video=0)).to_image()


@contextlib.contextmanager
def studio(folder: Path, *arguments: object):
    """Start the server; yield the private file to open."""
    command = [sys.executable, "-m", "masklet", "studio", *map(str, arguments)]
    command += ["--no-browser", "--port", "0", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            line = server.stdout.readline()
            assert line, (folder / "server.log").read_text()
            yield json.loads(line)["entry"]
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            server.stdout.close()


def best_place(screen: Image.Image, image: Image.Image) -> tuple[float, float, float, float]:
    """Correlation, left, top and scale of the place on the screen that looks most like the image."""
    page = np.asarray(ImageOps.grayscale(screen).reduce(REDUCE), np.float64) / 255
    spectrum = np.fft.rfft2(page)
    sums = np.pad(page, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    squares = np.pad(page**2, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    best, width = (0.0, 0.0, 0.0, 1.0), 75.0
    while width <= page.shape[1]:
        w, h = round(width), round(width * image.height / image.width)
        width *= 1.02
        if h > page.shape[0]:
            break
        template = np.asarray(ImageOps.grayscale(image).resize((w, h), Image.Resampling.BOX), np.float64) / 255
        template -= template.mean()
        rows, columns = page.shape[0] - h + 1, page.shape[1] - w + 1
        product = np.fft.irfft2(spectrum * np.fft.rfft2(template, page.shape).conj(), page.shape)[:rows, :columns]

        def box(table: np.ndarray, h: int = h, w: int = w) -> np.ndarray:
            return table[h:, w:] - table[:-h, w:] - table[h:, :-w] + table[:-h, :-w]

        spread = np.sqrt(np.maximum(box(squares) - box(sums) ** 2 / (w * h), 1e-3))
        score = product / (spread * np.linalg.norm(template))
        y, x = np.unravel_index(score.argmax(), score.shape)
        if score[y, x] > best[0]:
            best = float(score[y, x]), float(x * REDUCE), float(y * REDUCE), w * REDUCE / image.width
    return best


class Newcomer:
    """Sees the page as screenshots and visible text, and uses the mouse and the keyboard."""

    def __init__(self, page) -> None:
        self.page = page
        self.left = self.top = 0.0
        self.scale = 1.0

    def pause(self) -> None:
        self.page.wait_for_timeout(PAUSE)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.pause()

    def look_for(self, image: Image.Image) -> None:
        """Wait until the image is on the screen, and remember where."""
        self.page.mouse.move(2, 2)  # nothing is hovered
        end, score = time.monotonic() + WAIT / 1000, 0.0
        while time.monotonic() < end:
            screen = Image.open(io.BytesIO(self.page.screenshot()))
            score, self.left, self.top, self.scale = best_place(screen, image)
            if score > 0.85:
                break
            self.pause()
        assert score > 0.85, f"the image is not on the screen (best correlation {score:.2f})"
        playwright.expect(self.page.get_by_text("Encoding…")).to_be_hidden(timeout=WAIT)

    def on_screen(self, x: float, y: float) -> tuple[float, float]:
        return self.left + (x + 0.5) * self.scale, self.top + (y + 0.5) * self.scale

    def click(self, x: float, y: float, button: str = "left") -> None:
        self.page.mouse.move(*self.on_screen(x, y), steps=3)
        self.pause()
        self.page.mouse.click(*self.on_screen(x, y), button=button)

    def drag(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self.page.mouse.move(*self.on_screen(x0, y0), steps=3)
        self.page.mouse.down()
        self.page.mouse.move(*self.on_screen(x1, y1), steps=8)
        self.page.mouse.up()

    def objects(self):
        """The entries of the list Objects."""
        return self.page.get_by_role("region", name="Objects").get_by_role("listitem")

    def expect_objects(self, count: int) -> None:
        playwright.expect(self.objects()).to_have_count(count, timeout=WAIT)

    def add_class(self, name: str) -> None:
        self.page.get_by_role("button", name="Add a class").click(timeout=WAIT)
        self.pause()
        self.page.keyboard.type(name)
        self.press("Enter")
        playwright.expect(self.page.get_by_role("region", name="Classes")).to_contain_text(name, timeout=WAIT)

    def expect_status(self, text: str) -> None:
        playwright.expect(self.page.get_by_role("status").filter(has_text=text)).to_have_count(1, timeout=WAIT)


def exported(folder: Path) -> list[dict]:
    """The COCO files of the exports folder."""
    documents = []
    for path in sorted(folder.rglob("*.json")):
        document = json.loads(path.read_text("utf-8"))
        if isinstance(document, dict) and "annotations" in document:
            documents.append(document)
    return documents


def annotated(documents: list[dict]) -> dict[str, list[str]]:
    """Names of the categories on each image and frame, by the name of its file."""
    found: dict[str, list[str]] = {}
    for document in documents:
        names = {category["id"]: category["name"] for category in document["categories"]}
        files = {image["id"]: image["file_name"] for image in document["images"]}
        for name in files.values():
            found.setdefault(name, [])
        for annotation in document["annotations"]:
            assert annotation["area"] > 0
            found[files[annotation["image_id"]]].append(names[annotation["category_id"]])
    return found


@pytest.mark.slow
def test_newcomer(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    clip = Path(shutil.copy(ROOT / "examples" / "car.mp4", tmp_path))
    project = tmp_path / "project"
    with (
        studio(tmp_path, tmp_path / "images", clip, "--project", project) as entry,
        launch_chromium() as browser,
    ):
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        try:
            page.goto("file://" + entry)
            label_everything(Newcomer(page), tmp_path / "images", images, clip)
            export(Newcomer(page))
        except BaseException:
            with contextlib.suppress(Exception):
                page.screenshot(path=tmp_path / "failure.png")
            raise

    found = annotated(exported(project / "exports"))
    for name, label, _ in images:
        labels = [labels for file, labels in found.items() if Path(file).name == name]
        assert labels and label in labels[0], (name, found)
    frames = {file: labels for file, labels in found.items() if "car" in file and Path(file).stem.isdigit() and labels}
    assert len(frames) == FRAMES, found
    for file, labels in frames.items():
        assert sorted(labels) == ["car", "grass", "wheel"], file


def label_everything(me: Newcomer, folder: Path, images: list[tuple[str, str, tuple[int, int]]], clip: Path) -> None:
    page = me.page
    playwright.expect(page.get_by_label("Images and videos").first).to_be_visible(timeout=WAIT)
    for name in CLASSES:
        me.add_class(name)

    # Ten images: click the object, give it its class, finish it, mark the image as checked. The next one opens itself.
    page.get_by_text(images[0][0]).first.click(timeout=WAIT)
    for name, label, point in images:
        me.look_for(Image.open(folder / name))
        me.click(*point)
        me.expect_objects(1)
        me.press(str(CLASSES.index(label) + 1), "Enter", "Control+Enter")

    me.expect_status(f"{len(images)}/{len(images) + 1} checked")

    # Three objects on the first frame of the clip
    page.get_by_text(clip.name).first.click(timeout=WAIT)
    me.look_for(first_frame(clip))
    me.click(130, 232)
    me.expect_objects(1)
    me.press("5", "Enter")
    me.drag(30, 236, 68, 272)
    me.expect_objects(2)
    me.press("6", "Enter")
    me.click(250, 345)
    me.expect_objects(3)
    me.press("7", "Enter")

    # Track them through a range
    me.press("i", *["ArrowRight"] * (FRAMES - 1), "o", "r")
    me.expect_status(f"Tracking finished after {FRAMES - 1} frames")

    # Correct the car on a frame in the middle, and recompute what follows
    me.press(*["ArrowLeft"] * (FRAMES // 2))
    me.objects().filter(has_text="car").first.click(timeout=WAIT)
    me.click(165, 200)
    bar = page.get_by_text(re.compile(r"\d+ frames?, \d+ to \d+")).first
    playwright.expect(bar).to_be_visible(timeout=WAIT)
    me.press("t")
    me.expect_status(f"Tracking finished after {FRAMES // 2} frames")
    playwright.expect(bar).to_be_hidden(timeout=WAIT)

    # Accept the masks of all objects: of one object, if it is selected
    me.press("Enter", "Shift+Y")
    me.expect_status(f"{3 * FRAMES} masks accepted")


def export(me: Newcomer) -> None:
    page = me.page
    me.press("Control+e")
    dialog = page.get_by_role("dialog")
    playwright.expect(dialog).to_be_visible(timeout=WAIT)
    dialog.get_by_label(f"All with objects ({len(IMAGES) + 1})").check(timeout=WAIT)
    dialog.get_by_label("COCO").check(timeout=WAIT)
    dialog.get_by_role("button", name="Export").click(timeout=WAIT)
    playwright.expect(dialog.get_by_text("Exported to")).to_be_visible(timeout=WAIT)
