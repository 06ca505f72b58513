"""Names of files that Windows reserves, or writes with backslashes, drives and shares. Windows is simulated."""

from __future__ import annotations

import json
import sys
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from PIL import Image

import masklet
from masklet.datasets.layouts import open_images
from masklet.errors import FormatError, InputNotFound
from masklet.files.names import check_name, check_relative
from masklet.formats import read_masks
from masklet.project.entries import media_key
from masklet.project.image_names import name_images
from masklet.project.project import Project
from masklet.prompts import box
from support.annotation_samples import (
    HEIGHT,
    WIDTH,
    make_coco,
    make_coco_annotation,
    make_coco_image,
    write_json,
    write_photo,
)

DEVICES = ["CON", "con", "PRN", "AUX", "NUL", "nul.txt", "NUL .tar.gz", "COM1", "lpt9.png", "COM²", "CONIN$", "conout$"]
ENDS = ["a.", "a ", "a.png.", "a.png ", "trailing.."]
CHARACTERS = ["a.png:stream", "a<b", "a>b", 'a"b', "a|b", "a?b", "a*b", "a\tb"]
ALLOWED = ["CONSOLE", "nul1", "COM", "COM10", "LPT", "a.nul", "café.png", "a b.png", ".hidden", "100%.png"]
LEADING_OUT = [
    PureWindowsPath("C:/Users/me/a.jpg"),
    PureWindowsPath("C:a.jpg"),
    PureWindowsPath("//server/share/a.jpg"),
    PureWindowsPath("/a.jpg"),
    PureWindowsPath("../a.jpg"),
    PureWindowsPath("//?/C:/a.jpg"),
]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *((name, "it is that of a device") for name in DEVICES),
        *((name, "it ends with a dot or a space") for name in ENDS),
        *((name, "it holds") for name in CHARACTERS),
    ],
)
def test_a_name_that_windows_reserves_is_refused_there(name: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_name(name, "list.txt") == name  # other systems have such files
    monkeypatch.setattr(sys, "platform", "win32")
    for check, value in ((check_name, name), (check_relative, name), (check_relative, f"train/{name}")):
        with pytest.raises(
            InputNotFound, match=f"^list.txt: Windows has no files with the name .*: {reason}"
        ) as caught:
            check(value, "list.txt")
        assert caught.value.code == "input-unreadable"


@pytest.mark.parametrize("name", ALLOWED)
def test_other_names_are_accepted_on_windows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert check_name(name, "list.txt") == name
    assert check_relative(f"train/{name}", "list.txt") == f"train/{name}"


def write_coco_set(root: Path, name: object) -> Path:
    write_photo(root / "images" / "val" / "a.jpg")
    content = make_coco([make_coco_annotation()], images=[make_coco_image(name=str(name))])
    return write_json(root / "annotations" / "instances.json", content)


@pytest.mark.parametrize("name", [PureWindowsPath("val/a.jpg"), r".\val\a.jpg"])
def test_coco_names_with_backslashes_are_found(name: object, tmp_path: Path) -> None:
    file = write_coco_set(tmp_path, name)
    (record,) = open_images(file)
    assert record.read()[0].shape == (HEIGHT, WIDTH, 3)
    (frame,) = read_masks(file)
    assert frame.masks.areas.tolist() == [400]


@pytest.mark.parametrize("name", LEADING_OUT)
def test_coco_names_with_drives_and_shares_are_refused(name: PureWindowsPath, tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        list(open_images(write_coco_set(tmp_path, name)))
    assert caught.value.code == "dataset-broken"


def write_prompts(root: Path, name: object, kind: str) -> Path:
    corners: dict[str, Any] = {"x0": 1, "y0": 2, "x1": 3, "y1": 4}
    if kind == "csv":
        file = root / "prompts.csv"
        file.write_text(f"image,x0,y0,x1,y1\n{name},1,2,3,4\n", encoding="utf-8")
        return file
    file = root / "prompts.json"
    file.write_text(json.dumps([{"image": str(name), "box": [*corners.values()]}]), encoding="utf-8")
    return file


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_prompts_of_names_with_backslashes_are_found(kind: str, tmp_path: Path) -> None:
    image = tmp_path / "photos" / "a.png"
    image.parent.mkdir()
    Image.new("RGB", (9, 9)).save(image)
    found = masklet.read_prompts(write_prompts(tmp_path, PureWindowsPath("photos/a.png"), kind), [image])
    assert {path: repr(prompts) for path, prompts in found.items()} == {image: repr({1: box(1, 2, 3, 4)})}


@pytest.mark.parametrize("kind", ["csv", "json"])
@pytest.mark.parametrize("name", LEADING_OUT)
def test_prompts_of_names_with_drives_and_shares_are_refused(name: PureWindowsPath, kind: str, tmp_path: Path) -> None:
    image = tmp_path / "a.jpg"
    Image.new("RGB", (9, 9)).save(image)
    with pytest.raises(FormatError, match="names in a file must stay within its folders"):
        masklet.read_prompts(write_prompts(tmp_path, name, kind), [image])


def test_exported_names_differ_in_more_than_their_case(tmp_path: Path) -> None:
    entry = {"kind": "image", "size": [4, 4]}
    paths = {1: "../a/Cat.jpg", 2: "../a/cat.jpg", 3: "../a/CAT.png"}
    with Project.open(tmp_path / "project", create=True) as project:
        project.act("add_media", {media_key(number): {"path": path, **entry} for number, path in paths.items()})
        names = name_images(project.document)
    assert len({name.rpartition(".")[0].lower() for name in names.values()}) == 3
