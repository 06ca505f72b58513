"""Outlined photographs as a COCO dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from masklet.datasets.layouts import open_images
from masklet.errors import FormatError, ResourceError
from masklet.masks import rle
from masklet.masks.polygons import rasterize
from masklet.synthetic.coco_writer import IMAGES, LabeledImage, write_annotations
from masklet.synthetic.pack import Pack
from support.tiny_pack import tiny_pack
from tools.pack import outlines
from tools.pack.cli import main


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return tiny_pack(tmp_path_factory.mktemp("outlined"))


@pytest.fixture
def entries(pack: Pack) -> dict[str, Any]:
    """The first photograph, outlined at twice its size: a square with a hole, and a part of the square."""
    photograph = pack.of("photograph")[0]
    height, width = photograph.size
    square, hole, part = [8, 8, 40, 8, 40, 40, 8, 40], [16, 16, 24, 16, 24, 24, 16, 24], [8, 8, 16, 8, 16, 16, 8, 16]
    objects = [{"name": "window", "outlines": [square], "holes": [hole]}, {"name": "pane", "outlines": [part]}]
    return {f"{photograph.package}/{photograph.path}": {"size": [2 * height, 2 * width], "objects": objects}}


@pytest.fixture
def proposals(pack: Pack, tmp_path: Path) -> Path:
    """A COCO dataset with one mask in the second photograph of the pack."""
    photograph = pack.of("photograph")[1]
    file = tmp_path / "proposals" / IMAGES / photograph.name
    file.parent.mkdir(parents=True)
    file.write_bytes(pack.read(photograph))
    mask = np.zeros(photograph.size, bool)
    mask[10:30, 20:50] = True
    write_annotations(
        tmp_path / "proposals", [LabeledImage(photograph.name, photograph.size, [("car", rle.encode(mask))], "MIT")]
    )
    return tmp_path / "proposals"


def test_outlines_are_scaled_to_the_photograph(pack: Pack, entries: dict[str, Any], tmp_path: Path) -> None:
    assert outlines.write_outlined_photographs(pack, tmp_path / "set", outlines=entries) == (1, 2)
    [record] = list(open_images(tmp_path / "set"))
    image, annotation = record.read()
    assert np.array_equal(image, pack.read_image(pack.of("photograph")[0]))
    expected = rasterize([[4, 4, 20, 4, 20, 20, 4, 20]], annotation.size)
    expected &= ~rasterize([[8, 8, 12, 8, 12, 12, 8, 12]], annotation.size)
    assert np.array_equal(annotation.mask(annotation.object_ids[0]), expected)
    assert set(annotation.categories.values()) == {"window", "pane"}


def test_an_existing_data_set_is_not_replaced(pack: Pack, entries: dict[str, Any], tmp_path: Path) -> None:
    outlines.write_outlined_photographs(pack, tmp_path, outlines=entries)
    with pytest.raises(ResourceError, match="already has a dataset"):
        outlines.write_outlined_photographs(pack, tmp_path, outlines=entries)


def test_a_pack_without_outlined_photographs_is_an_error(
    pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FormatError, match="none of its photographs is outlined"):
        outlines.write_outlined_photographs(pack, tmp_path)
    assert main(["outlines", str(pack.root), str(tmp_path)]) == 65
    assert "[dataset-broken]" in capsys.readouterr().err


def test_selected_proposals_are_added_to_the_outlines(
    pack: Pack, proposals: Path, entries: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "marks.json"
    path.write_text(outlines.format_outlines(entries))
    assert outlines.add_outlines(proposals, pack, by="nano", path=path) == (1, 1)
    added = outlines.read_outlines(path)
    photograph = pack.of("photograph")[1]
    assert added.keys() == {*entries, photograph.name}
    [outline] = added[photograph.name]["objects"]
    assert (outline["name"], outline["by"]) == ("car", "nano")
    [(_, mask)] = outlines.rasterize_outlines(added[photograph.name], photograph.size)
    assert mask[10:30, 20:50].all() and mask.sum() == 600
    with pytest.raises(FormatError, match="is already outlined"):
        outlines.add_outlines(proposals, pack, by="nano", path=path)


def test_proposals_for_other_images_are_not_added(pack: Pack, proposals: Path, tmp_path: Path) -> None:
    path = tmp_path / "marks.json"
    path.write_text("{}")
    other = Pack(pack.root, pack.policy, pack.assets[:0])
    with pytest.raises(FormatError, match="is not a training photograph"):
        outlines.add_outlines(proposals, other, by="nano", path=path)
    assert path.read_text() == "{}"


def test_every_outline_encloses_pixels_of_its_photograph() -> None:
    entries = outlines.read_outlines()
    assert len(entries) > 100
    for name, entry in entries.items():
        for outline, mask in outlines.rasterize_outlines(entry, tuple(entry["size"])):
            assert mask.sum() > 30, (name, outline["name"])
            assert ("by" in outline) == ("mask" in outline), (name, outline["name"])
            if "outlines" in outline:
                points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in outline["outlines"]])
                inside = (points > -1).all() and (points < np.array(entry["size"][::-1]) + 1).all()
                assert inside, (name, outline["name"])


def test_the_file_has_one_line_per_photograph() -> None:
    text = outlines.OUTLINES_FILE.read_text("utf-8")
    assert len(text.splitlines()) == len(json.loads(text)) + 2


def test_formatted_outlines_are_the_same_when_they_are_read() -> None:
    entries = outlines.read_outlines()
    assert json.loads(outlines.format_outlines(entries)) == entries
