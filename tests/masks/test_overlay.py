"""Overlays and cut-outs of masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masklet.errors import ImageError, InputNotFound
from masklet.masks import overlay
from masklet.masks.masks import Masks
from masklet.predict.generated_masks import GeneratedMasks

GRAY = np.full((60, 80, 3), 100, np.uint8)


def square() -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[10:50, 10:50] = True
    return mask


def test_the_inside_has_the_mixed_color_and_the_outside_is_unchanged():
    drawn = overlay.draw_overlay(GRAY, [square()], [1])
    expected = np.array(overlay.pick_color(1)) * overlay.OPACITY + 100 * (1 - overlay.OPACITY)
    assert abs(drawn[20:40, 20:40] - expected).max() <= 1  # rounding
    assert (drawn[:, 60:] == 100).all()


def test_the_outline_has_the_full_color():
    drawn = overlay.draw_overlay(GRAY, [square()], [2])
    assert abs(drawn[30, 10].astype(int) - overlay.pick_color(2)).max() <= 25  # the line is antialiased


def test_the_outline_of_a_hole_is_drawn_too():
    mask = square()
    mask[20:40, 20:40] = False
    drawn = overlay.draw_overlay(GRAY, [mask], [1])
    assert abs(drawn[30, 19].astype(int) - overlay.pick_color(1)).max() <= 25  # the line is antialiased
    assert drawn[30, 30].tolist() == [100, 100, 100]


def test_the_image_and_the_masks_are_not_changed():
    image, mask = GRAY.copy(), square()
    overlay.draw_overlay(image, [mask], [1])
    assert (image == GRAY).all()
    assert (mask == square()).all()


def test_an_empty_mask_draws_nothing():
    assert (overlay.draw_overlay(GRAY, [np.zeros((60, 80), bool)], [1]) == GRAY).all()


def test_an_object_has_the_same_color_whatever_else_is_drawn():
    alone = overlay.draw_overlay(GRAY, [square()], [5])
    beside = overlay.draw_overlay(GRAY, [np.zeros((60, 80), bool), square()], [3, 5])
    assert (alone == beside).all()


def test_colors_repeat_lighter_and_then_darker():
    assert overlay.pick_color(1) == (0, 114, 178)
    assert sum(overlay.pick_color(8)) > sum(overlay.pick_color(1)) > sum(overlay.pick_color(15))


def test_21_objects_in_a_row_have_different_colors():
    assert len({overlay.pick_color(object_id) for object_id in range(1, 22)}) == 21


@pytest.mark.parametrize("object_id", [-3, 0, 10**9])
def test_any_id_has_a_color(object_id: int):
    assert all(0 <= channel <= 255 for channel in overlay.pick_color(object_id))


def test_a_cutout_shows_the_image_only_where_it_is_opaque():
    cut = overlay.cut_out(GRAY, overlay.make_binary_alpha([square()], (60, 80)))
    assert cut[30, 30].tolist() == [100, 100, 100, 255]
    assert cut[0, 0].tolist() == [0, 0, 0, 0]


def test_all_masks_are_cut_out_together():
    masks = np.array([[[1, 0, 0]], [[0, 1, 0]]], bool)
    assert overlay.make_binary_alpha(masks, (1, 3)).tolist() == [[255, 255, 0]]


def test_a_soft_cutout_is_half_opaque_at_the_threshold():
    logits = [np.array([[-1e30, -1.0, 0.0]]), np.array([[-2e30, 1.0, -1.0]])]
    assert overlay.make_soft_alpha(logits, (1, 3)).tolist() == [[0, 186, 128]]  # 255 · sigmoid(1) = 186.4


@pytest.mark.parametrize(
    "image", [np.zeros((60, 81), np.uint8), np.zeros((80, 60, 3), np.uint8), Image.new("L", (8, 6))]
)
def test_an_image_of_another_size_is_refused(image: object):
    with pytest.raises(ImageError, match="need their image of 80 × 60 pixels, got") as raised:
        overlay.read_image_of_masks(image, (60, 80))
    assert raised.value.code == "bad-image"


def test_images_of_masks_are_paths_arrays_and_pillow_images(tmp_path: Path):
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    masks = Masks.from_binary(image[None, ..., 0] > 99)
    generated = GeneratedMasks((60, 80), ())
    Image.fromarray(image).save(tmp_path / "image.png")
    for source in (tmp_path / "image.png", str(tmp_path / "image.png"), Image.fromarray(image), image[:, ::1].copy()):
        assert np.array_equal(masks.overlay(source), masks.overlay(image))
        assert np.array_equal(masks.cutout(source), masks.cutout(image))
        assert np.array_equal(masks.apply_effect(source, "blur"), masks.apply_effect(image, "blur"))
        assert np.array_equal(generated.overlay(source), image)
    with pytest.raises(InputNotFound):
        masks.overlay("missing.png")
