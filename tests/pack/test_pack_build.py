"""Pack building, and the index of a pack."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from masklet.errors import FormatError, InputNotFound, ResourceError
from masklet.synthetic.image_filters import fit
from masklet.synthetic.pack import Asset, Pack, encode_webp, open_pack, write_pack
from masklet.synthetic.rendering.render_cache import decode_parts, load_meshes, render_pack
from support.tiny_pack import SHADED, SOURCE, ground, sprite, tiny_pack, write_packages
from tools.pack.build_pack import build_pack
from tools.pack.selection import crop_cutout, is_flat, is_normal_map
from tools.pack.sources import SOURCES, fetch_package


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return tiny_pack(tmp_path_factory.mktemp("tiny"))


def count_assets(pack: Pack, kind: str) -> int:
    return sum(asset.kind == kind for asset in pack.assets)


def test_a_pack_has_assets_of_every_kind(pack: Pack) -> None:
    assert {
        kind: count_assets(pack, kind) for kind in ("cutout", "shaded", "photograph", "texture", "mesh", "skin")
    } == {
        "cutout": 12,
        "shaded": 6,
        "photograph": 12,
        "texture": 8,
        "mesh": 1,
        "skin": 1,
    }


def test_every_asset_has_a_license_and_an_author(pack: Pack) -> None:
    terms = {asset.path.split("/")[3]: (asset.license, asset.author) for asset in pack.of("cutout", held_out=None)}
    assert terms == {"free": ("CC-BY-4.0", "2002, Ada 2003, Grace"), "bound": ("GPL-2+", "2001, Everybody")}


def test_the_author_of_a_mesh_is_the_creator_in_the_catalog(pack: Pack) -> None:
    [mesh] = pack.of("mesh", held_out=None)
    assert (mesh.author, mesh.license) == ("Emmy", "CC-BY-4.0")


def test_a_strict_pack_has_no_share_alike_assets(tmp_path: Path) -> None:
    strict = tiny_pack(tmp_path, "strict")
    assert {asset.license for asset in strict.assets} == {"CC-BY-4.0", "MIT"}


def test_the_same_packages_give_the_same_pack(pack: Pack, tmp_path: Path) -> None:
    again = tiny_pack(tmp_path)
    assert [(pack.root / name).read_bytes() for name in ("index.json", "assets.bin")] == [
        (again.root / name).read_bytes() for name in ("index.json", "assets.bin")
    ]


def test_the_attribution_names_every_author_and_file(pack: Pack) -> None:
    page = (pack.root / "ATTRIBUTION.md").read_text()
    assert all(asset.author in page and asset.path in page and asset.license in page for asset in pack.assets)


def test_an_opened_pack_equals_the_written_one(pack: Pack) -> None:
    assert open_pack(pack.root) == pack


def test_encoded_images_are_nearly_the_same_when_decoded(tmp_path: Path) -> None:
    image = sprite(3)
    asset = Asset("cutout", "p", "a.png", "MIT", "A", (72, 72))
    written = write_pack(tmp_path, "all", [(asset, encode_webp(image, 95))])
    decoded = written.read_image(written.assets[0])
    inside = image[..., 3] > 0
    assert np.array_equal(decoded[..., 3], image[..., 3])  # alpha is lossless
    # WebP at quality 95 changes the noise of this image by less than 8 of 255 on average.
    assert np.abs(decoded[inside][:, :3].astype(int) - image[inside][:, :3]).mean() < 8


def test_a_duplicate_image_is_left_out(tmp_path: Path) -> None:
    packages = write_packages(tmp_path / "packages")
    once = build_pack(tmp_path / "once", "all", packages, (SOURCE, SHADED))
    twice = build_pack(tmp_path / "twice", "all", packages, (SOURCE, SHADED, SOURCE))
    assert count_assets(twice, "photograph") == count_assets(once, "photograph")


def test_the_split_of_an_asset_depends_on_its_name_only() -> None:
    assets = [Asset("cutout", "p", f"{number}.png", "MIT", "A", (1, 1)) for number in range(2000)]
    share = np.mean([asset.held_out for asset in assets])
    assert 0.04 < share < 0.08  # 6 %, 2000 draws: the standard deviation is 0.5 %
    assert [asset.held_out for asset in assets] == [
        Asset("mesh", "p", asset.path, "GPL", "B", (9, 9)).held_out for asset in assets
    ]


def test_the_splits_have_no_common_asset(pack: Pack) -> None:
    assert not set(pack.of("cutout")) & set(pack.of("cutout", held_out=True))
    assert len(pack.of("cutout")) + len(pack.of("cutout", held_out=True)) == count_assets(pack, "cutout")


def test_the_error_for_a_folder_without_pack_names_the_build_command(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match=r"python -m tools\.pack build"):
        open_pack(tmp_path)


@pytest.mark.parametrize("index", ["{", "[]", '{"version": 1}', '{"version": 7, "licences": "all", "assets": []}'])
def test_a_broken_index_is_an_error(tmp_path: Path, index: str) -> None:
    (tmp_path / "index.json").write_text(index)
    (tmp_path / "assets.bin").write_bytes(b"")
    with pytest.raises(FormatError, match="build it again"):
        open_pack(tmp_path)


def test_a_truncated_pack_is_an_error(pack: Pack, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text((pack.root / "index.json").read_text())
    (tmp_path / "assets.bin").write_bytes((pack.root / "assets.bin").read_bytes()[:-1])
    with pytest.raises(FormatError, match="shorter"):
        open_pack(tmp_path)


def test_unknown_fields_of_an_index_are_ignored(pack: Pack, tmp_path: Path) -> None:
    index = json.loads((pack.root / "index.json").read_text())
    index["assets"][0]["mood"] = "cheerful"
    (tmp_path / "index.json").write_text(json.dumps(index))
    (tmp_path / "assets.bin").write_bytes((pack.root / "assets.bin").read_bytes())
    assert open_pack(tmp_path).assets == pack.assets


def test_meshes_are_rendered_once(pack: Pack) -> None:
    first = render_pack(pack, views=2, side=48)
    calls: list[int] = []
    second = render_pack(pack, views=2, side=48, progress=lambda done, total: calls.append(done))
    assert first.assets == second.assets and not calls
    assert sum(asset.kind == "render" for asset in first.assets) == 2


def test_the_parts_of_a_rendering_are_inside_it(pack: Pack) -> None:
    renders = render_pack(pack, views=2, side=48)
    render, parts = (next(a for a in renders.assets if a.kind == kind) for kind in ("render", "parts"))
    numbers = decode_parts(renders, parts)
    assert set(np.unique(numbers)) <= {0, 1, 2}  # the cube has two materials
    assert not (numbers > 0)[renders.read_image(render)[..., 3] == 0].any()


def test_meshes_have_their_textures(pack: Pack) -> None:
    [model] = load_meshes(pack, held_out=None)
    assert {material.texture for material in model.geometry.materials if material.texture} <= set(model.textures)


def test_an_existing_package_file_is_not_downloaded(tmp_path: Path) -> None:
    (tmp_path / "things_1.0_all.deb").write_bytes(b"")
    assert fetch_package(SOURCE, tmp_path).name == "things_1.0_all.deb"


def test_the_error_without_package_client_names_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ResourceError, match=r"things.*put the package file into"):
        fetch_package(SOURCE, tmp_path)


def test_the_error_of_a_failed_client_quotes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tmp_path / "npm"
    client.write_text("#!/bin/sh\necho 404 no such thing >&2\nexit 1\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ResourceError, match="404 no such thing"):
        fetch_package(SHADED, tmp_path)


def test_every_source_has_valid_patterns() -> None:
    assert all(source.picks for source in SOURCES)
    assert not any(pick.matches("") for source in SOURCES for pick in source.picks)


def test_a_cutout_is_cropped_to_its_opaque_pixels() -> None:
    image = np.zeros((60, 80, 4), np.uint8)
    image[10:30, 20:50] = 255
    image[10, 20] = 0  # not a full rectangle
    image[10:20, 40:50] = 0
    cropped = crop_cutout(image)
    assert cropped is not None and cropped.shape == (20, 30, 4)


@pytest.mark.parametrize("content", ["empty", "rectangle", "scattered", "glass"])
def test_an_image_without_single_object_is_no_cutout(content: str) -> None:
    image = np.full((60, 60, 4), 200, np.uint8)
    if content == "empty":
        image[..., 3] = 0
    if content == "scattered":
        image[..., 3] = np.kron(np.eye(6), np.ones((10, 10))) * 255
        image[::10, :, 3] = image[:, ::10, 3] = 0
    if content == "glass":
        image[5:55, 5:55, 3] = 140
        image[0, 0, 3] = 0
    assert crop_cutout(image) is None


def test_a_drawing_is_flat_and_a_photograph_is_not() -> None:
    drawing = np.zeros((64, 64, 3), np.uint8)
    drawing[:, 32:] = 200
    assert is_flat(drawing) and not is_flat(ground(1, 64))


def test_a_normal_map_is_recognized_by_its_colors() -> None:
    bumps = np.clip(np.array([128, 128, 240]) + np.random.default_rng(0).normal(0, 9, (64, 64, 3)), 0, 255)
    assert is_normal_map(bumps.astype(np.uint8)) and not is_normal_map(ground(1, 64))


def test_fit_shrinks_and_never_enlarges() -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    assert fit(image, 20).shape == (10, 20, 3) and fit(image, 200) is image
