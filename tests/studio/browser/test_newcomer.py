"""The script of a newcomer, who has read nothing but `docs/studio.md`, runs unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from support.studio_browser import EXAMPLES, StudioPage, StudioProcess

Open = Callable[..., tuple[StudioProcess, StudioPage]]

IMAGES = {
    "00_fish": ("fish.jpg", None, False),
    "01_cat": ("cat.jpg", None, False),
    "02_cup": ("coffee.jpg", None, False),
    "03_rocket": ("rocket.jpg", (160, 90, 480, 427), False),
    "04_fish": ("fish.jpg", None, True),
    "05_cat": ("cat.jpg", None, True),
    "06_cup": ("coffee.jpg", None, True),
    "07_rocket": ("rocket.jpg", (160, 90, 480, 427), True),
    "08_fish": ("fish.jpg", (20, 30, 300, 190), False),
    "09_cup": ("coffee.jpg", (60, 0, 500, 400), True),
}
"""Photograph, part of it or None for all, and whether it is mirrored."""


def make_images(folder: Path) -> Path:
    """Write the ten images to a new folder, and return it."""
    folder.mkdir()
    for name, (photo, part, mirrored) in IMAGES.items():
        image = Image.open(EXAMPLES / photo).convert("RGB").crop(part)
        (ImageOps.mirror(image) if mirrored else image).save(folder / f"{name}.png")
    return folder


@pytest.mark.slow
def test_newcomer(open_studio: Open, tmp_path: Path) -> None:
    pytest.importorskip("av")
    from newcomer_script import check, label

    images, clip = make_images(tmp_path / "images"), EXAMPLES / "car.mp4"
    studio, window = open_studio(images, clip)
    label(window.page, images, clip)
    check(studio.project)
