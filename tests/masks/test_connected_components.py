"""Holes are filled, islands dropped and clicked pieces kept, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import ndimage

from masklet.masks.connected_components import clean_logits, keep_clicked, keep_largest

EIGHT = np.ones((3, 3))
SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=24)


def drawn(*rows: str) -> NDArray[np.float32]:
    """Logits of +3 where a row has #, −3 elsewhere."""
    return np.where(np.array([list(row) for row in rows]) == "#", 3, -3).astype(np.float32)


def small_by_flood_fill(pixels: NDArray[np.bool_], area: float) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(pixels, EIGHT)
    return pixels & (np.bincount(labels.ravel())[labels] <= area)


def cleaned_by_definition(logits: NDArray[np.float32], holes: float, islands: float) -> NDArray[np.float32]:
    expected = logits.copy()
    expected[small_by_flood_fill(logits <= 0, holes)] = 10
    expected[small_by_flood_fill(logits > 0, islands)] = -10
    return expected


PATCHES = arrays.arrays(np.float32, SHAPES, elements=st.sampled_from([-2.0, 0.0, 3.0]))


@given(PATCHES, st.integers(0, 30), st.integers(0, 30))
def test_cleaning_is_what_the_definition_says(logits: NDArray[np.float32], holes: int, islands: int):
    assert (clean_logits(logits, holes, islands) == cleaned_by_definition(logits, holes, islands)).all()


@given(PATCHES, st.sampled_from([-2.0, 3.0]), st.integers(0, 30), st.integers(0, 30))
def test_cleaning_a_detail_of_a_large_mask_is_the_same(
    patch: NDArray[np.float32], around: float, holes: int, islands: int
):
    logits = np.full((200, 200), around, np.float32)  # large enough for each piece to be looked at alone
    logits[: patch.shape[0], -patch.shape[1] :] = patch
    assert (clean_logits(logits, holes, islands) == cleaned_by_definition(logits, holes, islands)).all()


@pytest.mark.parametrize("view", [np.transpose, np.flipud, lambda logits: logits[::2, ::3]])
def test_logits_in_any_layout_are_cleaned(view):
    logits = view(ndimage.gaussian_filter(np.random.default_rng(6).normal(size=(200, 200)), 3).astype(np.float32))
    assert (clean_logits(logits, 20, 20) == cleaned_by_definition(logits, 20, 20)).all()


@pytest.mark.parametrize("density", [0.02, 0.3, 0.6, 0.98])
@pytest.mark.parametrize("blur", [0, 1, 4])
def test_large_masks_with_few_or_many_pieces_are_cleaned_alike(density: float, blur: int):
    noise = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=(256, 256)), blur)
    logits = (noise - np.quantile(noise, density)).astype(np.float32)
    assert (clean_logits(logits, 12, 7) == cleaned_by_definition(logits, 12, 7)).all()


def test_a_hole_of_the_given_area_is_filled():
    logits = drawn("#####", "#..##", "#####")
    assert clean_logits(logits, holes=2)[1].tolist() == [3, 10, 10, 3, 3]


def test_a_hole_above_the_given_area_stays():
    logits = drawn("#####", "#..##", "#####")
    assert (clean_logits(logits, holes=1) == logits).all()


def test_pieces_that_touch_at_a_corner_are_one():
    logits = drawn("####", "#.##", "##.#", "####")
    assert (clean_logits(logits, holes=1) == logits).all()
    assert (clean_logits(logits, holes=2) > 0).all()


def test_a_notch_at_the_edge_of_the_picture_is_a_hole():
    assert (clean_logits(drawn(".##", "###"), holes=1) > 0).all()


def test_a_logit_of_exactly_zero_is_background():
    assert clean_logits(np.zeros((2, 2), np.float32), holes=4).tolist() == [[10, 10], [10, 10]]


def test_islands_are_found_before_holes_are_filled():
    # The ring of 8 pixels is an island although filling its hole would make it 9 pixels large.
    ring = drawn(".....", ".###.", ".#.#.", ".###.", ".....")
    assert clean_logits(ring, holes=1, islands=8)[2].tolist() == [-3, -10, 10, -10, -3]


def test_a_ring_around_a_piece_is_judged_by_its_own_pixels():
    target = drawn("#####", "#...#", "#.#.#", "#...#", "#####")
    assert (clean_logits(target, islands=1) > 0).sum() == 16
    assert (clean_logits(target, islands=16) > 0).sum() == 0


def test_a_piece_within_the_box_of_another_is_judged_alone():
    logits = np.full((128, 128), -3, np.float32)
    logits[40:43, 60:63] = drawn("##.", "..#", "#.#")
    assert (clean_logits(logits, islands=3) > 0).sum() == 4
    assert (clean_logits(logits, islands=4) > 0).sum() == 0


def test_the_fill_of_holes_can_be_slight():
    filled = clean_logits(drawn("###", "#.#", "###"), holes=1, fill=0.1)
    assert filled[1, 1] == np.float32(0.1)


def test_zero_areas_change_nothing():
    logits = drawn("#.#", "...")
    assert (clean_logits(logits) == logits).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_given_logits_stay_as_they_are(dtype: type):
    logits = drawn("#..", "...", ".##").astype(dtype)
    before = logits.copy()
    cleaned = clean_logits(logits, 9, 9)
    assert cleaned.dtype == dtype
    assert not np.shares_memory(cleaned, logits)
    assert (logits == before).all()


def test_only_pieces_with_a_click_are_kept():
    logits = drawn("##..#", "##...", "....#")
    kept = keep_clicked(logits, np.array([(0.5, 1.5), (4.9, 2.1)]))
    assert (kept > 0).tolist() == (drawn("##...", "##...", "....#") > 0).tolist()
    assert kept[0, 4] == -10


def test_without_a_hit_the_piece_nearest_to_the_first_click_is_kept():
    logits = drawn("#....#", "#.....")
    kept = keep_clicked(logits, np.array([(3.6, 0.5), (1.5, 0.5)]))
    assert (kept > 0).tolist() == (drawn(".....#", "......") > 0).tolist()


def test_a_click_on_the_far_edge_counts_for_the_last_pixel():
    logits = drawn("#.#")
    assert (keep_clicked(logits, np.array([(3.0, 1.0)])) > 0).tolist() == [[False, False, True]]


def test_the_largest_piece_is_kept_and_the_first_of_equals():
    assert (keep_largest(drawn("#.##.##")) > 0).tolist() == (drawn("..##...") > 0).tolist()


@pytest.mark.parametrize("keep", [keep_largest, lambda logits: keep_clicked(logits, np.array([(1.0, 1.0)]))])
def test_an_empty_mask_stays_empty(keep):
    logits = drawn("...", "...")
    assert (keep(logits) == logits).all()
