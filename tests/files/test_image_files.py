"""Videos, datasets and masks use one natural sort and one set of image suffixes."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masklet.errors import InputNotFound
from masklet.files.image_files import IMAGE_SUFFIXES, IMAGE_TYPES, is_image, natural_key, select_images
from masklet.formats.frame_files import list_frames
from masklet.images.image_file import _OPENERS
from masklet.video.frame_folder import list_images


def save_image(path: Path, file_format: str = "PNG") -> Path:
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(path, file_format)
    return path


@pytest.mark.parametrize(
    "ordered",
    [
        ["frame2", "frame9", "frame010", "frame10", "frame100"],
        ["a2", "B1", "c"],
        ["", "01", "1", "1a", "a", "a1"],
        ["A", "a", "B", "b"],
        ["clip 2/b", "clip 10/a"],
        ["x\u0662", "x10"],  # an Arabic-Indic two
        ["9" * 999, "9" * 5000],
    ],
)
def test_names_are_sorted_naturally(ordered: list[str]) -> None:
    for seed in range(5):
        assert sorted(random.Random(seed).sample(ordered, len(ordered)), key=natural_key) == ordered


def test_images_are_selected_by_suffix_and_sorted_without_it(tmp_path: Path) -> None:
    for name in ("a1.png", "a.JPG", "B.tif", "10.jfif", "9.dib"):
        save_image(tmp_path / name)
    (tmp_path / ".hidden.png").write_bytes(b"x")
    (tmp_path / "notes.txt").write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    save_image(tmp_path / "without")
    assert [path.name for path in select_images(tmp_path.iterdir())] == ["9.dib", "10.jfif", "a.JPG", "a1.png", "B.tif"]


def test_without_suffixes_the_content_decides(tmp_path: Path) -> None:
    for name in ("f10", "f9"):
        save_image(tmp_path / name)
    (tmp_path / "empty").touch()
    (tmp_path / "notes").write_bytes(b"f11")
    assert [path.name for path in select_images(tmp_path.iterdir())] == ["f9", "f10"]


def test_masks_are_read_in_the_order_in_which_their_frames_are_played(tmp_path: Path) -> None:
    for name in ("a1.png", "a.png", "B.png"):
        save_image(tmp_path / name)
    played = [path.name for path in list_images(tmp_path)]
    assert played == ["a.png", "a1.png", "B.png"]
    assert [path.name for _, path in list_frames(tmp_path, ".png")] == played


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_files_of_every_suffix_are_images(tmp_path: Path, suffix: str) -> None:
    file_format = "BMP" if suffix == ".dib" else Image.registered_extensions()[suffix]
    assert is_image(save_image(tmp_path / f"image{suffix}", file_format))


def test_every_image_type_has_a_decoder() -> None:
    assert set(_OPENERS) == IMAGE_TYPES


def test_other_files_are_not_images(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"not an image")
    assert not is_image(tmp_path / "image.png")
    (tmp_path / "image.png").write_bytes(b"")
    with pytest.raises(InputNotFound, match="empty"):
        is_image(tmp_path / "image.png")
