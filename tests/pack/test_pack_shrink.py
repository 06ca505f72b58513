"""Smaller copies of packs and labeled images."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from masklet.synthetic.engine.asset_bank import load_bank
from masklet.synthetic.engine.real_samples import open_real_images
from masklet.synthetic.pack import Pack
from support.tiny_pack import tiny_pack
from tools.pack.shrink import SIZE_LIMITS, SizeLimit, shrink_images, shrink_pack


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pack, Pack]:
    root = tmp_path_factory.mktemp("packs")
    whole = tiny_pack(root / "whole")
    return whole, shrink_pack(whole, root / "small")


def test_a_copy_has_every_object_and_background(packs: tuple[Pack, Pack]) -> None:
    whole, small = (load_bank(pack) for pack in packs)
    assert {kind: len(sprites) for kind, sprites in small.sprites.items()} == {
        kind: len(sprites) for kind, sprites in whole.sprites.items()
    }
    assert len(small.photographs) == len(whole.photographs)


def test_renderings_replace_the_meshes(packs: tuple[Pack, Pack]) -> None:
    _, small = packs
    assert small.of("render", held_out=None) and not small.of("mesh", "skin", held_out=None)


def test_no_image_is_larger_than_the_limit_of_its_kind(packs: tuple[Pack, Pack]) -> None:
    _, small = packs
    for asset in small.of(*SIZE_LIMITS, held_out=None):
        assert max(small.read_image(asset).shape[:2]) <= SIZE_LIMITS[asset.kind].side


def test_the_index_has_the_new_sizes_of_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZE_LIMITS, "photograph", SizeLimit(80, 74))  # type: ignore[misc]
    small = shrink_pack(tiny_pack(tmp_path / "whole"), tmp_path / "small")
    assert {asset.size for asset in small.of("photograph")} == {(80, 80)}
    for asset in small.of(*SIZE_LIMITS, held_out=None):
        assert small.read_image(asset).shape[:2] == asset.size


def test_labeled_images_keep_their_objects(tmp_path: Path) -> None:
    labels = np.zeros((600, 900), np.uint8)
    labels[100:400, 200:700] = 3
    Image.fromarray(labels).save(tmp_path / "a.png")
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((600, 900, 3), 90, np.uint8))
    row = {"image": "a.jpg", "mask": "a.png", "objects": [[3, "boat"]], "exhaustive": True, "source": "own"}
    (tmp_path / "index.json").write_text(json.dumps({"images": [row]}))
    index = shrink_images(tmp_path / "index.json", tmp_path / "small")
    images = open_real_images(index, 64, 1)
    assert images.entries[0].names == ((3, "boat"),) and images.entries[0].exhaustive
    assert max(cv2.imread(str(images.entries[0].image)).shape) == 384
    assert images.sample(0).masks.any()
