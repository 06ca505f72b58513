"""Composed images: determinism, variety and exact masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.synthetic.engine.asset_bank import AssetBank, load_bank
from masklet.synthetic.engine.backgrounds import crop_randomly, make_random_canvas
from masklet.synthetic.engine.blending import add_false_seam, cast_shadow, paste, randomize_edge, restyle
from masklet.synthetic.engine.camera_effects import apply_camera_effects
from masklet.synthetic.engine.compose import ImageComposer, ImageSettings
from masklet.synthetic.engine.objects import add_patch, fill_outline
from masklet.synthetic.engine.placement import Layer, bend_randomly, place_sprite, sample_pose
from masklet.synthetic.engine.samples import Sample
from masklet.synthetic.engine.shapes import draw_random_shape
from masklet.synthetic.engine.sprites import SIDE_MULTIPLE, Sprite, make_sprite
from masklet.synthetic.engine.targets import Scene, choose_targets, find_touching_pairs
from masklet.synthetic.pack import Pack
from support.tiny_pack import ground, sprite, tiny_pack

SIZE = 64


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return tiny_pack(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def bank(pack: Pack) -> AssetBank:
    return load_bank(pack, views=2)


@pytest.fixture(scope="module")
def samples(bank: AssetBank) -> list[Sample]:
    composer = ImageComposer(bank, SIZE, seed=5)
    return [composer.sample(index) for index in range(60)]


def make_layer(solid: NDArray[np.bool_], corner: tuple[int, int] = (0, 0)) -> Layer:
    return Layer(
        np.full((*solid.shape, 3), 200, np.float32), solid.astype(np.float32), corner, None, float(solid.sum())
    )


def test_a_bank_has_sprites_of_every_kind_in_the_pack(bank: AssetBank) -> None:
    assert set(bank.sprites) <= {"cutout", "shaded", "drawing", "render"} and "cutout" in bank.sprites
    assert len(bank.photographs) >= 10 and len(bank.textures) >= 6


def test_a_pack_without_objects_is_an_error(pack: Pack) -> None:
    with pytest.raises(FormatError, match="no training objects"):
        load_bank(replace(pack, assets=pack.of("photograph")))


def test_the_same_number_gives_the_same_image(bank: AssetBank) -> None:
    first, second = (ImageComposer(bank, SIZE, seed=1).sample(7) for _ in range(2))
    assert np.array_equal(first.image, second.image) and np.array_equal(first.masks, second.masks)
    assert first.kinds == second.kinds


@pytest.mark.parametrize(("seed", "index"), [(1, 8), (2, 7)])
def test_another_number_or_seed_gives_another_image(bank: AssetBank, seed: int, index: int) -> None:
    assert not np.array_equal(
        ImageComposer(bank, SIZE, 1).sample(7).image, ImageComposer(bank, SIZE, seed).sample(index).image
    )


def test_images_do_not_depend_on_the_order_of_composition(bank: AssetBank) -> None:
    composer = ImageComposer(bank, SIZE, seed=1)
    forwards = [composer.sample(index).image for index in range(4)]
    backwards = [composer.sample(index).image for index in reversed(range(4))]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))


def test_every_target_has_pixels(samples: list[Sample]) -> None:
    assert all(mask.sum() >= 16 for sample in samples for mask in sample.masks)


def test_all_kinds_of_targets_occur(samples: list[Sample]) -> None:
    assert {kind for sample in samples for kind in sample.kinds} == {"instance", "union", "part", "region"}


def test_instances_do_not_overlap(samples: list[Sample]) -> None:
    for sample in samples:
        instances = [mask for mask, kind in zip(sample.masks, sample.kinds, strict=True) if kind == "instance"]
        assert np.sum(instances, axis=0).max(initial=0) <= 1


def test_regions_contain_no_object(samples: list[Sample]) -> None:
    for sample in samples:
        kinds = np.array(sample.kinds)
        objects = sample.masks[kinds == "instance"].any(0)
        assert not (sample.masks[kinds == "region"] & objects).any()


def test_an_image_has_at_most_the_given_number_of_objects(bank: AssetBank) -> None:
    composer = ImageComposer(bank, SIZE, 3, ImageSettings(objects=(1, 2), area=(0.05, 0.2)))
    counts = [composer.sample(index).kinds.count("instance") for index in range(30)]
    assert max(counts) <= 2


def test_areas_vary_by_more_than_an_order_of_magnitude(samples: list[Sample]) -> None:
    shares = [
        mask.mean()
        for sample in samples
        for mask, kind in zip(sample.masks, sample.kinds, strict=True)
        if kind == "instance"
    ]
    assert min(shares) < 0.012 and max(shares) > 0.2


def test_images_on_photographs_are_not_exhaustive(samples: list[Sample]) -> None:
    assert 0.2 < np.mean([sample.exhaustive for sample in samples]) < 0.9


def test_training_assets_and_held_out_assets_are_disjoint(pack: Pack) -> None:
    training, validation = pack.of("cutout"), pack.of("cutout", held_out=True)
    assert not {asset.path for asset in training} & {asset.path for asset in validation}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_last_object_is_visible(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene, expected = Scene.empty(20, None), np.zeros((20, 20), int)
    for number in range(1, 5):
        height, width = rng.integers(2, 10, 2)
        x, y = int(rng.integers(0, 20 - width)), int(rng.integers(0, 20 - height))
        solid = rng.random((height, width)) < 0.7
        scene.add(make_layer(solid, (x, y)))
        for row, column in np.argwhere(solid):
            expected[y + row, x + column] = number
    assert np.array_equal(scene.objects, expected)


def test_an_occluded_object_is_no_target() -> None:
    scene = Scene.empty(20, None)
    scene.add(make_layer(np.ones((10, 10), bool)))
    scene.add(make_layer(np.ones((12, 12), bool)))
    chosen = choose_targets(scene, np.random.default_rng(0))
    assert [kind for _, kind in chosen].count("instance") == 1


def test_touching_objects_are_found() -> None:
    labels = np.array([[1, 1, 0, 3], [2, 2, 0, 3]], np.int32)
    assert find_touching_pairs(labels, [1, 2, 3]) == {(1, 2)}


def test_a_part_is_occluded_by_an_object_in_front_of_it() -> None:
    scene = Scene.empty(20, None)
    solid = np.ones((10, 10), bool)
    scene.add(replace(make_layer(solid), parts=np.ones((10, 10), np.uint8)))
    scene.add(make_layer(np.ones((10, 5), bool)))
    assert (scene.parts[:10, :10] > 0).sum() == 50


def test_a_pose_gives_the_requested_area() -> None:
    cutout = make_sprite(sprite(1, 200))
    rng = np.random.default_rng(0)
    for area in (200.0, 2000.0, 8000.0):
        layer = place_sprite(cutout, sample_pose(cutout, rng, area), np.array([128.0, 128.0]), 256)
        assert layer is not None
        assert (layer.alpha > 0.5).sum() == pytest.approx(area, rel=0.1)  # edges are resampled
        assert layer.full_area == pytest.approx(area)


def test_an_object_outside_of_the_image_gives_no_layer() -> None:
    cutout = make_sprite(sprite(1))
    assert place_sprite(cutout, np.eye(2), np.array([-500.0, 20.0]), 64) is None


def test_a_layer_lies_inside_the_image() -> None:
    cutout = make_sprite(sprite(1))
    layer = place_sprite(cutout, np.eye(2) * 2, np.array([5.0, 60.0]), 64, margin=9)
    assert layer is not None
    rows, columns = layer.slices
    assert 0 <= rows.start < rows.stop <= 64 and 0 <= columns.start < columns.stop <= 64
    assert layer.alpha.shape == (rows.stop - rows.start, columns.stop - columns.start)


def test_a_sprite_can_be_halved_three_times() -> None:
    cutout = make_sprite(sprite(2, 77), parts=np.ones((77, 77), np.uint8))
    assert cutout.rgba.shape[0] % SIDE_MULTIPLE == cutout.rgba.shape[1] % SIDE_MULTIPLE == 0
    assert cutout.parts is not None and cutout.parts.shape == cutout.rgba.shape[:2]


def test_a_sprite_has_no_dark_fringe() -> None:
    image = np.zeros((40, 40, 4), np.uint8)
    image[10:30, 10:30] = (200, 100, 50, 255)
    colors = make_sprite(image).rgba[..., :3].reshape(-1, 3)
    assert np.abs(colors.astype(int) - (200, 100, 50)).max() <= 1


def test_a_bent_sprite_keeps_its_size_and_most_of_its_area() -> None:
    cutout = make_sprite(sprite(4, 120))
    bent = bend_randomly(cutout, np.random.default_rng(0), 0.05)
    assert bent.rgba.shape == cutout.rgba.shape and bent.area == pytest.approx(cutout.area, rel=0.4)


def test_a_patch_becomes_a_part(bank: AssetBank) -> None:
    patched = add_patch(bank, np.random.default_rng(1), make_sprite(sprite(1, 120)))
    assert patched.parts is not None and patched.parts.max() == 1
    assert (patched.rgba[..., 3][patched.parts > 0] >= 128).all()


def test_a_filled_outline_keeps_its_alpha(bank: AssetBank) -> None:
    alpha = draw_random_shape(np.random.default_rng(2), 64)
    assert np.array_equal(fill_outline(bank, np.random.default_rng(0), alpha).rgba[..., 3], alpha)


@pytest.mark.parametrize("seed", range(12))
def test_a_shape_has_opaque_pixels_and_a_transparent_edge(seed: int) -> None:
    alpha = draw_random_shape(np.random.default_rng(seed), 128)
    assert 0.002 < (alpha >= 128).mean() < 0.95
    assert not alpha[0].any() and not alpha[-1].any()


@pytest.mark.parametrize("seed", range(20))
def test_a_background_has_labels_for_all_pixels_or_none(bank: AssetBank, seed: int) -> None:
    canvas = make_random_canvas(bank, np.random.default_rng(seed), 48)
    assert canvas.image.shape == (48, 48, 3) and canvas.image.dtype == np.uint8
    assert canvas.regions is None or (canvas.regions.min() >= 1 and canvas.regions.shape == (48, 48))


def test_a_crop_of_a_small_image_is_enlarged() -> None:
    assert crop_randomly(np.random.default_rng(0), ground(1, 20), 64).shape == (64, 64, 3)


def test_a_pasted_object_changes_no_pixel_outside_of_its_alpha() -> None:
    rng = np.random.default_rng(0)
    solid = np.zeros((30, 30), bool)
    solid[8:20, 8:20] = True
    before = rng.uniform(0, 255, (30, 30, 3)).astype(np.float32)
    for _ in range(20):  # both ways of blending
        after = before.copy()
        paste(after, make_layer(solid), rng)
        assert np.allclose(after[~solid], before[~solid], atol=1e-3)


def test_a_shadow_only_darkens() -> None:
    before = np.full((40, 40, 3), 100, np.float32)
    solid = np.zeros((40, 40), bool)
    solid[10:25, 10:25] = True
    after = before.copy()
    cast_shadow(after, make_layer(solid), np.random.default_rng(1))
    assert (after <= before + 1e-3).all() and after.min() < 90


def test_a_restyled_layer_keeps_its_shape() -> None:
    solid = np.ones((20, 30), bool)
    layer = restyle(make_layer(solid), np.full((20, 30, 3), 50, np.float32), np.random.default_rng(0))
    assert layer.color.shape == (20, 30, 3) and layer.alpha is not None
    assert layer.color.min() >= 0 and layer.color.max() <= 255


def test_a_randomized_edge_moves_by_two_pixels_at_most() -> None:
    solid = np.zeros((40, 40), bool)
    solid[10:30, 10:30] = True
    for seed in range(40):
        edged = randomize_edge(make_layer(solid), np.random.default_rng(seed)).alpha > 0.5
        assert edged[12:28, 12:28].all() and not edged[:8].any() and not edged[:, :8].any()


def test_false_seams_are_faint() -> None:
    image = ground(3, 64).astype(np.float32)
    before = image.copy()
    add_false_seam(image, np.ones((64, 64), np.float32), np.random.default_rng(0))
    assert 0 < np.abs(image - before).mean() < 20


def test_camera_effects_give_eight_bits(bank: AssetBank) -> None:
    image = np.random.default_rng(0).uniform(-50, 300, (32, 32, 3)).astype(np.float32)
    for seed in range(10):
        recorded = apply_camera_effects(image.copy(), np.random.default_rng(seed))
        assert recorded.dtype == np.uint8 and recorded.shape == (32, 32, 3)


def test_the_area_of_a_sprite_is_its_number_of_opaque_pixels() -> None:
    assert Sprite(np.full((8, 8, 4), 255, np.uint8)).area == 64
