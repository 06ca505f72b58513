"""A pack is built from package files, and knows where everything in it comes from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from masklet.errors import FormatError, InputNotFound, ResourceError
from masklet.synthetic.packs.build_pack import build_pack
from masklet.synthetic.packs.pack import Asset, Pack, encode_picture, open_pack, write_pack
from masklet.synthetic.packs.selection import cut_out, fit, is_flat, is_normal_map
from masklet.synthetic.packs.sources import SOURCES, fetch
from masklet.synthetic.rendering.render_cache import decode_parts, load_models, rendered
from support.tiny_pack import SHADED, SOURCE, ground, package_folder, sprite, tiny_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return tiny_pack(tmp_path_factory.mktemp("tiny"))


def count(pack: Pack, kind: str) -> int:
    return sum(asset.kind == kind for asset in pack.assets)


def test_every_kind_of_asset_is_found(pack: Pack) -> None:
    assert {kind: count(pack, kind) for kind in ("cutout", "shaded", "photograph", "texture", "mesh", "skin")} == {
        "cutout": 12,
        "shaded": 6,
        "photograph": 12,
        "texture": 8,
        "mesh": 1,
        "skin": 1,
    }


def test_every_asset_has_its_licence_and_author(pack: Pack) -> None:
    terms = {asset.path.split("/")[3]: (asset.licence, asset.author) for asset in pack.of("cutout", held_out=None)}
    assert terms == {"free": ("CC-BY-4.0", "2002, Ada 2003, Grace"), "bound": ("GPL-2+", "2001, Everybody")}


def test_a_model_belongs_to_its_creator_in_the_catalogue(pack: Pack) -> None:
    [mesh] = pack.of("mesh", held_out=None)
    assert (mesh.author, mesh.licence) == ("Emmy", "CC-BY-4.0")


def test_a_strict_pack_leaves_share_alike_assets_out(tmp_path: Path) -> None:
    strict = tiny_pack(tmp_path, "strict")
    assert {asset.licence for asset in strict.assets} == {"CC-BY-4.0", "MIT"}


def test_the_same_packages_give_the_same_pack(pack: Pack, tmp_path: Path) -> None:
    again = tiny_pack(tmp_path)
    assert [(pack.root / name).read_bytes() for name in ("index.json", "assets.bin")] == [
        (again.root / name).read_bytes() for name in ("index.json", "assets.bin")
    ]


def test_the_attribution_names_every_author_and_file(pack: Pack) -> None:
    page = (pack.root / "ATTRIBUTION.md").read_text()
    assert all(asset.author in page and asset.path in page and asset.licence in page for asset in pack.assets)


def test_an_opened_pack_is_the_one_that_was_written(pack: Pack) -> None:
    assert open_pack(pack.root) == pack


def test_pictures_come_back_as_they_went_in(tmp_path: Path) -> None:
    picture = sprite(3)
    asset = Asset("cutout", "p", "a.png", "MIT", "A", (72, 72))
    written = write_pack(tmp_path, "all", [(asset, encode_picture(picture, 95))])
    decoded = written.picture(written.assets[0])
    inside = picture[..., 3] > 0
    assert np.array_equal(decoded[..., 3], picture[..., 3])  # alpha is lossless
    # The noise of the test picture is what WebP is worst at: 8 levels of 255 at quality 95.
    assert np.abs(decoded[inside][:, :3].astype(int) - picture[inside][:, :3]).mean() < 8


def test_a_picture_found_twice_is_taken_once(tmp_path: Path) -> None:
    packages = package_folder(tmp_path / "packages")
    once = build_pack(tmp_path / "once", "all", packages, (SOURCE, SHADED))
    twice = build_pack(tmp_path / "twice", "all", packages, (SOURCE, SHADED, SOURCE))
    assert count(twice, "photograph") == count(once, "photograph")


def test_what_is_held_out_is_decided_by_the_path_alone() -> None:
    assets = [Asset("cutout", "p", f"{number}.png", "MIT", "A", (1, 1)) for number in range(2000)]
    share = np.mean([asset.held_out for asset in assets])
    assert 0.04 < share < 0.08  # 6 %, 2000 draws: the standard deviation is 0.5 %
    assert [asset.held_out for asset in assets] == [
        Asset("mesh", "p", asset.path, "GPL", "B", (9, 9)).held_out for asset in assets
    ]


def test_the_two_splits_share_no_asset(pack: Pack) -> None:
    assert not set(pack.of("cutout")) & set(pack.of("cutout", held_out=True))
    assert len(pack.of("cutout")) + len(pack.of("cutout", held_out=True)) == count(pack, "cutout")


def test_a_folder_without_a_pack_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="masklet data pack"):
        open_pack(tmp_path)


@pytest.mark.parametrize("index", ["{", "[]", '{"version": 1}', '{"version": 7, "licences": "all", "assets": []}'])
def test_a_broken_index_is_refused(tmp_path: Path, index: str) -> None:
    (tmp_path / "index.json").write_text(index)
    (tmp_path / "assets.bin").write_bytes(b"")
    with pytest.raises(FormatError, match="build it again"):
        open_pack(tmp_path)


def test_a_blob_cut_short_is_refused(pack: Pack, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text((pack.root / "index.json").read_text())
    (tmp_path / "assets.bin").write_bytes((pack.root / "assets.bin").read_bytes()[:-1])
    with pytest.raises(FormatError, match="shorter"):
        open_pack(tmp_path)


def test_an_index_may_have_more_fields_than_we_know(pack: Pack, tmp_path: Path) -> None:
    index = json.loads((pack.root / "index.json").read_text())
    index["assets"][0]["mood"] = "cheerful"
    (tmp_path / "index.json").write_text(json.dumps(index))
    (tmp_path / "assets.bin").write_bytes((pack.root / "assets.bin").read_bytes())
    assert open_pack(tmp_path).assets == pack.assets


def test_renderings_are_made_once_and_kept(pack: Pack) -> None:
    first = rendered(pack, views=2, side=48)
    seen: list[int] = []
    second = rendered(pack, views=2, side=48, progress=lambda done, total: seen.append(done))
    assert first.assets == second.assets and not seen
    assert sum(asset.kind == "render" for asset in first.assets) == 2


def test_the_parts_of_a_rendering_lie_inside_it(pack: Pack) -> None:
    renders = rendered(pack, views=2, side=48)
    picture, parts = (next(a for a in renders.assets if a.kind == kind) for kind in ("render", "parts"))
    numbers = decode_parts(renders, parts)
    assert set(np.unique(numbers)) <= {0, 1, 2}  # the cube has two materials
    assert not (numbers > 0)[renders.picture(picture)[..., 3] == 0].any()


def test_models_carry_their_textures(pack: Pack) -> None:
    [model] = load_models(pack, held_out=None)
    assert {material.texture for material in model.mesh.materials if material.texture} <= set(model.skins)


def test_a_package_file_that_is_there_is_not_downloaded(tmp_path: Path) -> None:
    (tmp_path / "things_1.0_all.deb").write_bytes(b"")
    assert fetch(SOURCE, tmp_path).name == "things_1.0_all.deb"


def test_without_a_package_client_the_message_says_where_to_put_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ResourceError, match=r"things.*put the package file into"):
        fetch(SOURCE, tmp_path)


def test_a_client_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tmp_path / "npm"
    client.write_text("#!/bin/sh\necho 404 no such thing >&2\nexit 1\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ResourceError, match="404 no such thing"):
        fetch(SHADED, tmp_path)


def test_every_source_takes_something_by_a_valid_pattern() -> None:
    assert all(source.picks for source in SOURCES)
    assert not any(pick.matches("") for source in SOURCES for pick in source.picks)


def test_a_cut_out_is_cropped_to_what_is_opaque() -> None:
    picture = np.zeros((60, 80, 4), np.uint8)
    picture[10:30, 20:50] = 255
    picture[10, 20] = 0  # not a full rectangle
    picture[10:20, 40:50] = 0
    cropped = cut_out(picture)
    assert cropped is not None and cropped.shape == (20, 30, 4)


@pytest.mark.parametrize("what", ["empty", "rectangle", "scattered", "glass"])
def test_what_is_no_single_object_is_no_cut_out(what: str) -> None:
    picture = np.full((60, 60, 4), 200, np.uint8)
    if what == "empty":
        picture[..., 3] = 0
    if what == "scattered":
        picture[..., 3] = np.kron(np.eye(6), np.ones((10, 10))) * 255
        picture[::10, :, 3] = picture[:, ::10, 3] = 0
    if what == "glass":
        picture[5:55, 5:55, 3] = 140
        picture[0, 0, 3] = 0
    assert cut_out(picture) is None


def test_flat_colours_are_told_from_photographs() -> None:
    drawing = np.zeros((64, 64, 3), np.uint8)
    drawing[:, 32:] = 200
    assert is_flat(drawing) and not is_flat(ground(1, 64))


def test_a_normal_map_is_told_from_a_texture() -> None:
    bumps = np.clip(np.array([128, 128, 240]) + np.random.default_rng(0).normal(0, 9, (64, 64, 3)), 0, 255)
    assert is_normal_map(bumps.astype(np.uint8)) and not is_normal_map(ground(1, 64))


def test_fitting_shrinks_and_never_enlarges() -> None:
    picture = np.zeros((40, 80, 3), np.uint8)
    assert fit(picture, 20).shape == (10, 20, 3) and fit(picture, 200) is picture
