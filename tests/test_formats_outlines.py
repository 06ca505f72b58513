"""A mask becomes an outline and the outline the mask again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.formats import outlines

SIZE = (24, 30)


def disc(y: float, x: float, radius: float, size: tuple[int, int] = SIZE) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: size[0], : size[1]]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float((first & second).sum() / max(1, (first | second).sum()))


blobs = st.lists(
    st.tuples(st.integers(0, 23), st.integers(0, 29), st.integers(0, 9), st.booleans()), min_size=1, max_size=6
)


@given(blobs)
@settings(max_examples=300, deadline=None)
def test_any_mask_comes_back_from_one_polygon_and_from_one_per_piece(parts: list[tuple[int, int, int, bool]]) -> None:
    mask = np.zeros(SIZE, bool)
    for y, x, radius, added in parts:
        mask = mask | disc(y, x, radius) if added else mask & ~disc(y, x, radius)
    one, several = outlines.polygon(mask), outlines.polygons(mask)
    if not mask.any():
        assert len(one) == len(several) == 0
        return
    assert iou(outlines.fill([one], SIZE), mask) >= outlines.LEAST_IOU
    assert iou(outlines.fill(several, SIZE), mask) >= outlines.LEAST_IOU
    assert all(len(outline) >= 3 for outline in (one, *several))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_noise_comes_back_too(seed: int) -> None:
    mask = np.random.default_rng(seed).random(SIZE) < 0.5
    mask[0, 0] = True
    assert iou(outlines.fill([outlines.polygon(mask)], SIZE), mask) >= outlines.LEAST_IOU


def test_a_smooth_outline_needs_far_fewer_vertices_than_it_has_pixels() -> None:
    mask = disc(100, 120, 80, (220, 240))
    assert len(outlines.polygon(mask)) < 60  # the circle passes over 450 pixels


def test_far_pieces_and_holes_are_not_joined_by_what_a_reader_would_fill() -> None:
    mask = disc(5, 4, 3) | disc(18, 26, 3) | (disc(12, 14, 6) & ~disc(12, 14, 3))
    back = outlines.fill([outlines.polygon(mask)], SIZE)
    assert not back[12, 14]
    assert (back & ~mask).sum() == 0 or iou(back, mask) >= outlines.LEAST_IOU


def test_a_polygon_that_starts_with_a_vertex_twice_is_filled_whole() -> None:
    square = [(2, 2), (2, 2), (8, 2), (8, 8), (2, 8)]
    assert outlines.fill([square], SIZE).sum() == 49


def test_a_polygon_reaching_out_of_the_picture_is_cut_off() -> None:
    assert outlines.fill([[(-100, -100), (4, -100), (4, 4), (-100, 4)]], SIZE).sum() == 25


@pytest.mark.parametrize("wrong", [[(0, 0, 0)], [(0, float("nan"))], [], "x", [(0, 1e30)]])
def test_what_is_no_polygon_is_refused(wrong: object) -> None:
    with pytest.raises(FormatError):
        outlines.fill([wrong], SIZE)  # type: ignore[list-item]


def test_a_picture_too_large_to_fill_is_refused_before_it_is_allocated() -> None:
    with pytest.raises(FormatError):
        outlines.fill([], (1_000_000, 1_000_000))
