"""Mattes of a project: every object has a frame for each frame of its video, and images have mattes of their own."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

from masklet.project.cells import Cell
from masklet.project.entries import ProjectObject, object_key
from masklet.project.media import add_media
from masklet.project.project import Project
from masklet.project.transfer import export_project
from support.clips import write_clip


def add_object(project: Project, medium: int, frame: int) -> None:
    """Add object 1 with a mask on one frame."""
    height, width = project.document.medium(medium).size
    mask = np.zeros((height, width), bool)
    mask[5 : height // 2, 4 : width // 2] = True
    number = project.masks(medium).add(mask)
    project.act("x", {object_key(medium, 1): ProjectObject("", None, "#aabbcc").to_json()})
    project.act("x", cells={(medium, 1, frame): Cell(number, 0.9, "prompt")})


def test_mattes_of_a_video_have_all_of_its_frames(project: Project, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 6)
    add_media(project, [clip])
    add_object(project, 1, 2)
    formats = ["matte_prores", "matte_mp4", "matte_png"]
    prores, mp4, png = export_project(project, tmp_path / "out", formats)
    for path in (prores / "object_0001.mov", mp4 / "object_0001.mp4"):
        with av.open(str(path)) as container:
            assert len([*container.decode(video=0)]) == 6
    images = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted((png / "object_0001").iterdir())]
    assert [bool(image.any()) for image in images if image is not None] == [False] * 2 + [True] + [False] * 3


def test_mattes_of_images_are_in_a_folder_of_each_image(project: Project, tmp_path: Path) -> None:
    Image.fromarray(np.full((30, 40, 3), 90, np.uint8)).save(tmp_path / "cat.jpg")
    add_media(project, [tmp_path / "cat.jpg"])
    add_object(project, 1, 0)
    export_project(project, tmp_path / "out", ["matte_prores", "matte_png"])
    files = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert files == ["images/cat/matte_png/object_0001/frame_000000.png", "images/matte_prores/cat.png"]
