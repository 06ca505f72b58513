"""Text files with the line ends of Windows (CRLF) are read like those with LF."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import masklet
from masklet.datasets.layouts import open_clips
from masklet.formats import read_masks
from masklet.train.settings_input import read_toml
from reports.test_report_mots import BAR, SQUARE, make_line
from support import dataset_layouts
from support.annotation_samples import (
    make_coco,
    make_coco_annotation,
    make_cvat_images,
    make_cvat_polygon,
    make_labelme,
    make_shape,
    write_photo,
    write_text,
)

SHAPE = [[10, 10], [30, 10], [30, 30], [10, 30]]


def read_annotations(path: Path) -> object:
    return [(frame.index, frame.masks.areas.tolist(), frame.masks.labels) for frame in read_masks(path)]


def read_prompts(path: Path) -> object:
    image = path.parent / "a.png"
    Image.new("RGB", (9, 9)).save(image)
    return repr([*masklet.read_prompts(path, [image]).values()])


def read_yolo(path: Path) -> object:
    root = path.parent.parent
    write_photo(root / "images" / "a.jpg")
    write_text(root / "classes.txt", path.read_bytes().replace(b"0 0.5 0.5 0.25 0.5", b"cat").replace(b"1.0", b"dog"))
    return read_annotations(root)


def dump(content: Any) -> str:
    return json.dumps(content, indent=1)


CASES: list[tuple[str, str, Callable[[Path], object]]] = [
    ("coco.json", dump(make_coco([make_coco_annotation()])), read_annotations),
    ("a.json", dump(make_labelme([make_shape("cat", SHAPE)])), read_annotations),
    ("kitti.txt", make_line(1001, 1, SQUARE) + make_line(2001, 2, BAR), read_annotations),
    ("cvat.xml", make_cvat_images(make_cvat_polygon([10, 10, 30, 10, 30, 30])).replace("><", ">\n<"), read_annotations),
    ("labels/a.txt", "0 0.5 0.5 0.25 0.5\n", read_yolo),
    ("prompts.csv", "image,x0,y0,x1,y1,label\na.png,1,2,3,4,cat\n", read_prompts),
    ("prompts.json", dump([{"image": "a.png", "box": [1, 2, 3, 4], "label": "cat"}]), read_prompts),
    ("settings.toml", 'steps = 7\nmodel = "lite0"\n', read_toml),
]


@pytest.mark.parametrize(("name", "text", "read"), CASES, ids=[name for name, *_ in CASES])
def test_line_ends_do_not_matter(name: str, text: str, read: Callable[[Path], object], tmp_path: Path) -> None:
    assert "\n" in text and "\r" not in text
    found = [
        read(write_text(tmp_path / folder / name, text.replace("\n", end)))
        for folder, end in (("lf", "\n"), ("crlf", "\r\n"))
    ]
    assert found[0] and found[0] == found[1]


def test_a_list_of_clips_has_no_carriage_returns_in_its_names(tmp_path: Path) -> None:
    dataset_layouts.write_davis(tmp_path)
    before = open_clips(tmp_path).names
    for listing in tmp_path.rglob("*.txt"):
        listing.write_bytes(listing.read_bytes().replace(b"\n", b"\r\n"))
    assert before and open_clips(tmp_path).names == before
