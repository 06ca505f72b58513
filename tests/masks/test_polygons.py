"""Rasterization agrees with pycocotools, and the traced outline of a mask rasterizes to the mask."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco

from masklet.errors import FormatError
from masklet.masks import polygons

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools

SIZE = (24, 30)


def make_disc(y: float, x: float, radius: float, size: tuple[int, int] = SIZE) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: size[0], : size[1]]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float((first & second).sum() / max(1, (first | second).sum()))


BLOBS = st.lists(
    st.tuples(st.integers(0, 23), st.integers(0, 29), st.integers(0, 9), st.booleans()), min_size=1, max_size=6
)


@given(BLOBS)
@settings(max_examples=300, deadline=None)
def test_any_mask_is_restored_from_one_polygon_and_from_one_per_component(
    parts: list[tuple[int, int, int, bool]],
) -> None:
    mask = np.zeros(SIZE, bool)
    for y, x, radius, added in parts:
        mask = mask | make_disc(y, x, radius) if added else mask & ~make_disc(y, x, radius)
    one, several = polygons.trace_mask(mask), polygons.trace_pieces(mask)
    if not mask.any():
        assert len(one) == len(several) == 0
        return
    assert iou(polygons.rasterize([one], SIZE), mask) >= polygons.MIN_IOU
    assert iou(polygons.rasterize(several, SIZE), mask) >= polygons.MIN_IOU
    assert all(len(outline) >= 3 for outline in (one, *several))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_noise_is_restored(seed: int) -> None:
    mask = np.random.default_rng(seed).random(SIZE) < 0.5
    mask[0, 0] = True
    assert iou(polygons.rasterize([polygons.trace_mask(mask)], SIZE), mask) >= polygons.MIN_IOU


def test_a_smooth_outline_has_far_fewer_vertices_than_pixels() -> None:
    mask = make_disc(100, 120, 80, (220, 240))
    assert len(polygons.trace_mask(mask)) < 60  # the circle passes over 450 pixels


def test_lines_between_components_and_holes_enclose_nothing() -> None:
    mask = make_disc(5, 4, 3) | make_disc(18, 26, 3) | (make_disc(12, 14, 6) & ~make_disc(12, 14, 3))
    restored = polygons.rasterize([polygons.trace_mask(mask)], SIZE)
    assert not restored[12, 14]
    assert (restored & ~mask).sum() == 0 or iou(restored, mask) >= polygons.MIN_IOU


def test_a_rectangle_is_traced_by_the_corners_of_its_pixels() -> None:
    mask = np.zeros(SIZE, bool)
    mask[3:7, 5:30] = True
    (outline,) = polygons.trace_pieces(mask)
    assert sorted(map(tuple, outline.tolist())) == [(5, 3), (5, 7), (30, 3), (30, 7)]


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.9))
@settings(max_examples=100, deadline=None)
def test_an_outline_that_is_not_simplified_is_exact_for_pycocotools(seed: int, share: float) -> None:
    """Noise has components that touch at a corner, holes in holes and pixels at the border."""
    mask = np.random.default_rng(seed).random(SIZE) < share
    mask[0, 0] = True
    pieces = polygons._trace(mask)
    whole = polygons._join([loop for piece in pieces for loop in piece])
    for outlines in ([whole], [polygons._join(piece) for piece in pieces]):
        assert (rasterize_by_pycocotools(outlines, SIZE) == mask).all()
        assert (polygons.rasterize(outlines, SIZE) == mask).all()


@given(BLOBS)
@settings(max_examples=100, deadline=None)
def test_pycocotools_restores_a_mask_from_its_simplified_outline(parts: list[tuple[int, int, int, bool]]) -> None:
    mask = np.zeros(SIZE, bool)
    for y, x, radius, added in parts:
        mask = mask | make_disc(y, x, radius) if added else mask & ~make_disc(y, x, radius)
    if mask.any():
        found = rasterize_by_pycocotools(polygons.trace_pieces(mask), SIZE)
        assert iou(found, mask) >= polygons.MIN_IOU


def rasterize_by_pycocotools(outlines: Sequence[object], size: tuple[int, int]) -> NDArray[np.bool_]:
    flat = [np.asarray(outline, np.float64).ravel().tolist() for outline in outlines]
    return np.asarray(coco.decode(coco.merge(coco.frPyObjects(flat, *size))).astype(bool))


CORNERS = (
    st.floats(-20, 60, allow_nan=False) | st.integers(-5, 40).map(float) | st.integers(-10, 80).map(lambda x: x / 2)
)
LOOPS = st.lists(st.tuples(CORNERS, CORNERS), min_size=3, max_size=9)


@settings(deadline=None, max_examples=300)
@given(outlines=st.lists(LOOPS, min_size=1, max_size=4), size=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_rasterization_agrees_with_pycocotools(
    outlines: list[list[tuple[float, float]]], size: tuple[int, int]
) -> None:
    assert (polygons.rasterize(outlines, size) == rasterize_by_pycocotools([*outlines], size)).all()


FAR = st.floats(-20_000, 20_000, allow_nan=False)


@settings(deadline=None, max_examples=50)
@given(corners=st.lists(st.tuples(FAR, FAR), min_size=3, max_size=5), size=st.tuples(st.just(40), st.integers(1, 90)))
def test_rasterization_of_long_edges_agrees_with_pycocotools(
    corners: list[tuple[float, float]], size: tuple[int, int]
) -> None:
    assert (polygons.rasterize([corners], size) == rasterize_by_pycocotools([corners], size)).all()


def test_columns_are_processed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    outlines = [random.uniform(-10, 50, (7, 2)) for _ in range(20)]
    whole = polygons.rasterize(outlines, (40, 50))
    for block in (1, 100, 333):
        monkeypatch.setattr(polygons, "_BLOCK", block)
        assert (polygons.rasterize(outlines, (40, 50)) == whole).all()
    assert (whole == rasterize_by_pycocotools([*outlines], (40, 50))).all()


def test_a_square_of_10_by_10_pixels_has_100_pixels() -> None:
    assert polygons.rasterize([[0, 0, 10, 0, 10, 10, 0, 10]], SIZE).sum() == 100


def test_the_union_of_polygons_is_filled() -> None:
    parts = [[0, 0, 4, 0, 4, 4, 0, 4], [2, 2, 8, 2, 8, 8, 2, 8]]
    assert polygons.rasterize(parts, (10, 10)).sum() == 16 + 36 - 4


def test_a_polygon_that_starts_with_a_repeated_vertex_is_filled() -> None:
    square = [(2, 2), (2, 2), (8, 2), (8, 8), (2, 8)]
    assert polygons.rasterize([square], SIZE).sum() == 36


def test_in_an_outline_of_version_0_1_the_lines_between_loops_enclose_nothing() -> None:
    """Its vertices are the pixels at the edge, and each loop ends with its first vertex twice."""
    ring = [(2, 2), (12, 2), (12, 12), (2, 12), (2, 2), (2, 2), (5, 5), (9, 5), (9, 9), (5, 9), (5, 5), (5, 5)]
    assert polygons.rasterize([ring], SIZE).sum() == 100 - 16


def test_parts_outside_the_image_are_cut_off() -> None:
    assert polygons.rasterize([[(-100, -100), (4, -100), (4, 4), (-100, 4)]], SIZE).sum() == 16


@pytest.mark.parametrize(
    "value",
    [
        *([(0, 0, 0)], [(0, float("nan"))], [], "x", [(0, 1e30)], [1, 2, 3, 4], [1, 2, 3], ["a", "b"], [1e300] * 6),
        *(
            [[0, 0], [1, float("nan")], [2, 2]],
            [[0, 0, 1], [2, 2, 3], [3, 3, 4]],
            {"a": 1},
            None,
            [[0, 0], [1], [2, 2]],
        ),
    ],
)
def test_a_value_that_is_no_polygon_is_refused(value: object) -> None:
    with pytest.raises(FormatError, match="polygon"):
        polygons.rasterize([value], SIZE)


@pytest.mark.parametrize("size", [(1_000_000, 1_000_000), (0, 5), (5, -1)])
def test_an_image_of_an_impossible_size_is_refused_before_it_is_allocated(size: tuple[int, int]) -> None:
    with pytest.raises(FormatError):
        polygons.rasterize([], size)


@pytest.mark.parametrize(
    "outlines",
    [
        [[0, 0, 1_048_575, 1_048_575] * 500],
        [[0, 0, 1_048_575, 0, 1_048_575, 1_048_575]],
        [[-1_000_000, -1_000_000, 1_000_000, 1_000_000, 0, 1_000_000] * 700],
        [[7, 7, 20, 7, 20, 20]] * 20_000,
    ],
)
def test_long_outlines_need_little_memory_and_time(outlines: list[list[int]]) -> None:
    """12 kB of such JSON take 20 GB and minutes where every subpixel of an outline is stored."""
    tracemalloc.start()
    before = time.process_time()
    try:
        polygons.rasterize(outlines, (48, 64))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6
    assert time.process_time() - before < 5  # seconds; it takes 1 s without tracemalloc


def test_outlines_are_simplified_by_the_given_tolerance() -> None:
    mask = make_disc(100, 100, 80, (200, 200)) & ~make_disc(100, 100, 3, (200, 200))
    counts, ious = [], []
    for tolerance in (0, 0.5, 2, 8, 32):
        traced = polygons.trace_pieces(mask, tolerance)
        counts.append(sum(map(len, traced)))
        ious.append(iou(polygons.rasterize(traced, (200, 200)), mask))
    assert counts == sorted(counts, reverse=True) and counts[0] > 400 > 40 > counts[-1]
    assert ious[0] == 1 and ious == sorted(ious, reverse=True)
    assert ious[2] > 0.97 and ious[3] > 0.85


def test_a_component_smaller_than_the_tolerance_keeps_an_area() -> None:
    mask = make_disc(10, 10, 3) | make_disc(14, 22, 6)
    traced = polygons.trace_pieces(mask, 100)
    assert len(traced) == 2 and all(len(outline) >= 3 for outline in traced)
    assert iou(polygons.rasterize(traced, SIZE), mask) > 0.4


def test_rings_list_the_holes_of_each_component_after_its_outline() -> None:
    ring = make_disc(12, 10, 9) & ~make_disc(12, 8, 3)
    mask = ring | make_disc(20, 26, 3)
    components = polygons.trace_rings(mask)
    assert [len(rings) for rings in components] == [2, 1]
    filled = np.zeros(SIZE, bool)
    for outline, *holes in components:
        filled |= polygons.rasterize([outline], SIZE) & ~polygons.rasterize(holes, SIZE)
    assert iou(filled, mask) >= 0.98
    assert polygons.trace_rings(np.zeros(SIZE, bool)) == []
