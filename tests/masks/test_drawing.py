"""Masks are laid over pictures and cut out of them."""

from __future__ import annotations

import numpy as np
import pytest

from masklet.errors import ImageError
from masklet.masks import drawing

GREY = np.full((60, 80, 3), 100, np.uint8)


def square() -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[10:50, 10:50] = True
    return mask


def test_the_inside_is_the_mixed_colour_and_the_outside_untouched():
    drawn = drawing.overlay(GREY, [square()], [1])
    expected = np.array(drawing.colour(1)) * drawing.OPACITY + 100 * (1 - drawing.OPACITY)
    assert abs(drawn[20:40, 20:40] - expected).max() <= 1  # rounding
    assert (drawn[:, 60:] == 100).all()


def test_the_outline_has_the_full_colour():
    drawn = drawing.overlay(GREY, [square()], [2])
    assert abs(drawn[30, 10].astype(int) - drawing.colour(2)).max() <= 25  # the line is antialiased


def test_the_outline_of_a_hole_is_drawn_too():
    mask = square()
    mask[20:40, 20:40] = False
    drawn = drawing.overlay(GREY, [mask], [1])
    assert abs(drawn[30, 19].astype(int) - drawing.colour(1)).max() <= 25  # the line is antialiased
    assert drawn[30, 30].tolist() == [100, 100, 100]


def test_the_picture_and_the_masks_stay_as_they_are():
    picture, mask = GREY.copy(), square()
    drawing.overlay(picture, [mask], [1])
    assert (picture == GREY).all()
    assert (mask == square()).all()


def test_an_empty_mask_draws_nothing():
    assert (drawing.overlay(GREY, [np.zeros((60, 80), bool)], [1]) == GREY).all()


def test_an_object_has_the_same_colour_whatever_else_is_drawn():
    alone = drawing.overlay(GREY, [square()], [5])
    beside = drawing.overlay(GREY, [np.zeros((60, 80), bool), square()], [3, 5])
    assert (alone == beside).all()


def test_colours_come_again_lighter_and_then_darker():
    assert drawing.colour(1) == (0, 114, 178)
    assert sum(drawing.colour(8)) > sum(drawing.colour(1)) > sum(drawing.colour(15))


def test_21_objects_in_a_row_have_different_colours():
    assert len({drawing.colour(object_id) for object_id in range(1, 22)}) == 21


@pytest.mark.parametrize("object_id", [-3, 0, 10**9])
def test_any_id_has_a_colour(object_id: int):
    assert all(0 <= channel <= 255 for channel in drawing.colour(object_id))


def test_a_cut_out_shows_the_picture_only_where_it_is_opaque():
    cut = drawing.cutout(GREY, drawing.sharp_alpha([square()], (60, 80)))
    assert cut[30, 30].tolist() == [100, 100, 100, 255]
    assert cut[0, 0].tolist() == [0, 0, 0, 0]


def test_masks_are_cut_out_together():
    masks = np.array([[[1, 0, 0]], [[0, 1, 0]]], bool)
    assert drawing.sharp_alpha(masks, (1, 3)).tolist() == [[255, 255, 0]]


def test_a_soft_cut_out_is_half_opaque_at_the_threshold():
    logits = [np.array([[-1e30, -1.0, 0.0]]), np.array([[-2e30, 1.0, -1.0]])]
    assert drawing.soft_alpha(logits, (1, 3)).tolist() == [[0, 186, 128]]  # 255 · sigmoid(1) = 186.4


@pytest.mark.parametrize(
    "image", [np.zeros((60, 80), np.uint8), np.zeros((80, 60, 3), np.uint8), np.zeros((60, 80, 3)), "picture.jpg"]
)
def test_a_picture_that_does_not_fit_is_refused(image: object):
    with pytest.raises(ImageError) as raised:
        drawing.check_picture(image, (60, 80))
    assert raised.value.code == "bad-image"
