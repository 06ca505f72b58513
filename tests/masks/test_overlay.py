"""Overlays and cut-outs of masks."""

from __future__ import annotations

import numpy as np
import pytest

from masklet.errors import ImageError
from masklet.masks import overlay

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
    "image", [np.zeros((60, 80), np.uint8), np.zeros((80, 60, 3), np.uint8), np.zeros((60, 80, 3)), "image.jpg"]
)
def test_an_image_of_another_shape_is_refused(image: object):
    with pytest.raises(ImageError) as raised:
        overlay.check_image(image, (60, 80))
    assert raised.value.code == "bad-image"
