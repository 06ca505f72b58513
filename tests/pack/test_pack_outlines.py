"""Photographs outlined by hand become a data set like any other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from masklet.datasets.layouts import open_images
from masklet.errors import FormatError, ResourceError
from masklet.masks.polygons import rasterize
from masklet.synthetic.packs import outlines
from masklet.synthetic.packs.pack import Pack
from support.tiny_pack import tiny_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return tiny_pack(tmp_path_factory.mktemp("marked"))


@pytest.fixture
def marked(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The first photograph, marked at twice its size: a square with a hole, and a part of it."""
    photograph = pack.of("photograph")[0]
    height, width = photograph.size
    square, hole, part = [8, 8, 40, 8, 40, 40, 8, 40], [16, 16, 24, 16, 24, 24, 16, 24], [8, 8, 16, 8, 16, 16, 8, 16]
    objects = [{"name": "window", "outlines": [square], "holes": [hole]}, {"name": "pane", "outlines": [part]}]
    known = {f"{photograph.package}/{photograph.path}": {"size": [2 * height, 2 * width], "objects": objects}}
    monkeypatch.setattr(outlines, "marks", lambda: known)
    return known


def test_marks_are_scaled_to_the_photograph(pack: Pack, marked: dict[str, object], tmp_path: Path) -> None:
    assert outlines.write_marked(pack, tmp_path / "set") == (1, 2)
    [record] = list(open_images(tmp_path / "set"))
    image, annotation = record.read()
    assert np.array_equal(image, pack.picture(pack.of("photograph")[0]))
    expected = rasterize([[4, 4, 20, 4, 20, 20, 4, 20]], annotation.size)
    expected &= ~rasterize([[8, 8, 12, 8, 12, 12, 8, 12]], annotation.size)
    assert np.array_equal(annotation.mask(annotation.object_ids[0]), expected)
    assert set(annotation.categories.values()) == {"window", "pane"}


def test_a_set_that_is_there_is_kept(pack: Pack, marked: dict[str, object], tmp_path: Path) -> None:
    outlines.write_marked(pack, tmp_path)
    with pytest.raises(ResourceError, match="holds a data set"):
        outlines.write_marked(pack, tmp_path)


def test_a_pack_without_marked_photographs_is_refused(pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="none of its photographs is marked"):
        outlines.write_marked(pack, tmp_path)


def test_every_mark_encloses_something_in_its_photograph() -> None:
    known = outlines.marks()
    assert len(known) > 100
    for name, entry in known.items():
        for mark, mask in outlines._masks(entry, tuple(entry["size"])):
            assert mask.sum() > 30, (name, mark["name"])
            assert ("by" in mark) == ("mask" in mark), (name, mark["name"])
            if "outlines" in mark:
                points = np.concatenate([np.reshape(outline, (-1, 2)) for outline in mark["outlines"]])
                assert (points > -1).all() and (points < np.array(entry["size"][::-1]) + 1).all(), (name, mark["name"])


def test_the_file_is_one_line_a_photograph() -> None:
    text = (Path(outlines.__file__).parent / "marks.json").read_text("utf-8")
    assert len(text.splitlines()) == len(json.loads(text)) + 2
