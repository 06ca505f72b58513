"""Hole filling, removal of islands and selection of components agree with their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import ndimage

from masklet.masks.connected_components import fill_holes_and_remove_islands, keep_components_at, keep_largest_component

EIGHT = np.ones((3, 3))
SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=24)


def draw(*rows: str) -> NDArray[np.float32]:
    """Logits of +3 where a row has #, −3 elsewhere."""
    return np.where(np.array([list(row) for row in rows]) == "#", 3, -3).astype(np.float32)


def find_small_components(pixels: NDArray[np.bool_], area: float) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(pixels, EIGHT)
    return pixels & (np.bincount(labels.ravel())[labels] <= area)


def process_by_definition(logits: NDArray[np.float32], holes: float, islands: float) -> NDArray[np.float32]:
    expected = logits.copy()
    expected[find_small_components(logits <= 0, holes)] = 10
    expected[find_small_components(logits > 0, islands)] = -10
    return expected


PATCHES = arrays.arrays(np.float32, SHAPES, elements=st.sampled_from([-2.0, 0.0, 3.0]))


@given(PATCHES, st.integers(0, 30), st.integers(0, 30))
def test_filling_and_removing_agree_with_the_definition(logits: NDArray[np.float32], holes: int, islands: int):
    assert (
        fill_holes_and_remove_islands(logits, holes, islands) == process_by_definition(logits, holes, islands)
    ).all()


@given(PATCHES, st.sampled_from([-2.0, 3.0]), st.integers(0, 30), st.integers(0, 30))
def test_a_detail_of_a_large_mask_is_processed_the_same(
    patch: NDArray[np.float32], around: float, holes: int, islands: int
):
    logits = np.full((200, 200), around, np.float32)  # so large that each component is examined separately
    logits[: patch.shape[0], -patch.shape[1] :] = patch
    assert (
        fill_holes_and_remove_islands(logits, holes, islands) == process_by_definition(logits, holes, islands)
    ).all()


@pytest.mark.parametrize("view", [np.transpose, np.flipud, lambda logits: logits[::2, ::3]])
def test_logits_in_any_memory_layout_are_processed(view):
    logits = view(ndimage.gaussian_filter(np.random.default_rng(6).normal(size=(200, 200)), 3).astype(np.float32))
    assert (fill_holes_and_remove_islands(logits, 20, 20) == process_by_definition(logits, 20, 20)).all()


@pytest.mark.parametrize("density", [0.02, 0.3, 0.6, 0.98])
@pytest.mark.parametrize("blur", [0, 1, 4])
def test_large_masks_with_few_or_many_components_are_processed_alike(density: float, blur: int):
    noise = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=(256, 256)), blur)
    logits = (noise - np.quantile(noise, density)).astype(np.float32)
    assert (fill_holes_and_remove_islands(logits, 12, 7) == process_by_definition(logits, 12, 7)).all()


def test_a_hole_of_the_given_area_is_filled():
    logits = draw("#####", "#..##", "#####")
    assert fill_holes_and_remove_islands(logits, max_hole_area=2)[1].tolist() == [3, 10, 10, 3, 3]


def test_a_hole_above_the_given_area_stays():
    logits = draw("#####", "#..##", "#####")
    assert (fill_holes_and_remove_islands(logits, max_hole_area=1) == logits).all()


def test_components_that_touch_at_a_corner_are_one():
    logits = draw("####", "#.##", "##.#", "####")
    assert (fill_holes_and_remove_islands(logits, max_hole_area=1) == logits).all()
    assert (fill_holes_and_remove_islands(logits, max_hole_area=2) > 0).all()


def test_a_notch_at_the_edge_of_the_image_is_a_hole():
    assert (fill_holes_and_remove_islands(draw(".##", "###"), max_hole_area=1) > 0).all()


def test_a_logit_of_exactly_zero_is_background():
    assert fill_holes_and_remove_islands(np.zeros((2, 2), np.float32), max_hole_area=4).tolist() == [[10, 10], [10, 10]]


def test_islands_are_found_before_holes_are_filled():
    # The ring of 8 pixels is an island although filling its hole would make it 9 pixels large.
    ring = draw(".....", ".###.", ".#.#.", ".###.", ".....")
    assert fill_holes_and_remove_islands(ring, max_hole_area=1, max_island_area=8)[2].tolist() == [-3, -10, 10, -10, -3]


def test_the_area_of_a_ring_is_its_own_pixels():
    target = draw("#####", "#...#", "#.#.#", "#...#", "#####")
    assert (fill_holes_and_remove_islands(target, max_island_area=1) > 0).sum() == 16
    assert (fill_holes_and_remove_islands(target, max_island_area=16) > 0).sum() == 0


def test_a_component_inside_the_box_of_another_has_its_own_area():
    logits = np.full((128, 128), -3, np.float32)
    logits[40:43, 60:63] = draw("##.", "..#", "#.#")
    assert (fill_holes_and_remove_islands(logits, max_island_area=3) > 0).sum() == 4
    assert (fill_holes_and_remove_islands(logits, max_island_area=4) > 0).sum() == 0


def test_the_logit_of_filled_holes_can_be_chosen():
    filled = fill_holes_and_remove_islands(draw("###", "#.#", "###"), max_hole_area=1, fill_logit=0.1)
    assert filled[1, 1] == np.float32(0.1)


def test_zero_areas_change_nothing():
    logits = draw("#.#", "...")
    assert (fill_holes_and_remove_islands(logits) == logits).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_given_logits_are_not_changed(dtype: type):
    logits = draw("#..", "...", ".##").astype(dtype)
    before = logits.copy()
    processed = fill_holes_and_remove_islands(logits, 9, 9)
    assert processed.dtype == dtype
    assert not np.shares_memory(processed, logits)
    assert (logits == before).all()


def test_only_components_with_a_click_remain():
    logits = draw("##..#", "##...", "....#")
    result = keep_components_at(logits, np.array([(0.5, 1.5), (4.9, 2.1)]))
    assert (result > 0).tolist() == (draw("##...", "##...", "....#") > 0).tolist()
    assert result[0, 4] == -10


def test_without_a_hit_the_component_nearest_to_the_first_click_remains():
    logits = draw("#....#", "#.....")
    result = keep_components_at(logits, np.array([(3.6, 0.5), (1.5, 0.5)]))
    assert (result > 0).tolist() == (draw(".....#", "......") > 0).tolist()


def test_a_click_on_the_far_edge_hits_the_last_pixel():
    logits = draw("#.#")
    assert (keep_components_at(logits, np.array([(3.0, 1.0)])) > 0).tolist() == [[False, False, True]]


def test_the_largest_component_remains_and_the_first_of_equals():
    assert (keep_largest_component(draw("#.##.##")) > 0).tolist() == (draw("..##...") > 0).tolist()


@pytest.mark.parametrize(
    "keep", [keep_largest_component, lambda logits: keep_components_at(logits, np.array([(1.0, 1.0)]))]
)
def test_an_empty_mask_stays_empty(keep):
    logits = draw("...", "...")
    assert (keep(logits) == logits).all()
