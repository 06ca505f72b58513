"""Lean copies hold the same material in less room."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from masklet.synthetic.engine.asset_bank import load_bank
from masklet.synthetic.engine.real_samples import real_pictures
from masklet.synthetic.packs.pack import Pack
from masklet.synthetic.packs.shrink import ROOMS, Room, lean_pack, lean_pictures
from support.tiny_pack import tiny_pack


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pack, Pack]:
    root = tmp_path_factory.mktemp("packs")
    whole = tiny_pack(root / "whole")
    return whole, lean_pack(whole, root / "lean")


def test_every_object_and_ground_is_still_there(packs: tuple[Pack, Pack]) -> None:
    whole, lean = (load_bank(pack) for pack in packs)
    assert {kind: len(found) for kind, found in lean.sprites.items()} == {
        kind: len(found) for kind, found in whole.sprites.items()
    }
    assert len(lean.photographs) == len(whole.photographs)


def test_views_take_the_place_of_meshes(packs: tuple[Pack, Pack]) -> None:
    _, lean = packs
    assert lean.of("render", held_out=None) and not lean.of("mesh", "skin", held_out=None)


def test_no_picture_is_larger_than_its_kind_may_be(packs: tuple[Pack, Pack]) -> None:
    _, lean = packs
    for asset in lean.of(*ROOMS, held_out=None):
        assert max(lean.picture(asset).shape[:2]) <= ROOMS[asset.kind].side


def test_the_index_tells_the_sizes_that_pictures_have_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROOMS, "photograph", Room(80, 74))  # type: ignore[misc]
    lean = lean_pack(tiny_pack(tmp_path / "whole"), tmp_path / "lean")
    assert {asset.size for asset in lean.of("photograph")} == {(80, 80)}
    for asset in lean.of(*ROOMS, held_out=None):
        assert lean.picture(asset).shape[:2] == asset.size


def test_labelled_pictures_keep_their_objects(tmp_path: Path) -> None:
    labels = np.zeros((600, 900), np.uint8)
    labels[100:400, 200:700] = 3
    Image.fromarray(labels).save(tmp_path / "a.png")
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((600, 900, 3), 90, np.uint8))
    row = {"image": "a.jpg", "mask": "a.png", "objects": [[3, "boat"]], "exhaustive": True, "source": "own"}
    (tmp_path / "index.json").write_text(json.dumps({"images": [row]}))
    index = lean_pictures(tmp_path / "index.json", tmp_path / "lean")
    pictures = real_pictures(index, 64, 1)
    assert pictures.entries[0].names == ((3, "boat"),) and pictures.entries[0].exhaustive
    assert max(cv2.imread(str(pictures.entries[0].image)).shape) == 384
    assert pictures.sample(0).masks.any()
