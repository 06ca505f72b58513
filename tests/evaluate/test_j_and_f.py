"""J and F are what DAVIS defines, checked against distances computed one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from masklet.errors import PromptError
from masklet.evaluate import j_and_f
from masklet.evaluate.j_and_f import (
    compute_contour_accuracy,
    compute_j_and_f,
    compute_region_similarity,
    compute_tolerance_px,
    extract_contour,
)

Mask = NDArray[np.bool_]


def square(size: tuple[int, int] = (40, 60), top: int = 10, left: int = 10, side: int = 20) -> Mask:
    mask = np.zeros(size, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def nothing(size: tuple[int, int] = (40, 60)) -> Mask:
    return np.zeros(size, bool)


def outline_by_definition(mask: Mask) -> Mask:
    """A pixel differs from the right, lower or lower right neighbour that it has."""
    found = np.zeros_like(mask)
    for y, x in np.ndindex(*mask.shape):
        neighbours = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
        found[y, x] = any(mask[y, x] != mask[n] for n in neighbours if n[0] < mask.shape[0] and n[1] < mask.shape[1])
    return found


def contour_by_distances(truth: Mask, answer: Mask) -> float:
    """F with every distance between two outlines."""
    true, found = (np.argwhere(outline_by_definition(mask)) for mask in (truth, answer))
    if not len(true) or not len(found):
        return float(len(true) == len(found))
    squared = ((true[:, None] - found[None]) ** 2).sum(-1)
    near = squared <= compute_tolerance_px(truth.shape) ** 2
    precision, recall = near.any(0).mean(), near.any(1).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


@pytest.mark.parametrize(
    ("truth", "answer", "j", "f"),
    [
        (nothing(), nothing(), 1.0, 1.0),
        (nothing(), square(), 0.0, 0.0),
        (square(), nothing(), 0.0, 0.0),
        (square(), square(), 1.0, 1.0),
        (square(), ~nothing(), 400 / 2400, 0.0),  # a full mask has an area but no outline
        (~nothing(), ~nothing(), 1.0, 1.0),
    ],
    ids=["both empty", "only answered", "only true", "equal", "full answer", "both full"],
)
def test_empty_and_full_masks(truth: Mask, answer: Mask, j: float, f: float) -> None:
    assert compute_j_and_f(truth, answer) == (pytest.approx(j), f)


def test_j_of_two_halves_that_share_a_third() -> None:
    truth, answer = nothing((1, 6)), nothing((1, 6))
    truth[:, :4] = True
    answer[:, 2:] = True
    assert compute_region_similarity(truth, answer) == pytest.approx(2 / 6)


@pytest.mark.parametrize(("size", "pixels"), [((480, 854), 8), ((1080, 1920), 18), ((10, 10), 1), ((2160, 3840), 36)])
def test_the_tolerance_is_eight_thousandths_of_the_diagonal_rounded_up(size: tuple[int, int], pixels: int) -> None:
    assert compute_tolerance_px(size) == pixels


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_an_outline_is_where_a_pixel_differs_from_its_right_lower_or_lower_right_neighbour(mask: Mask) -> None:
    assert (extract_contour(mask) == outline_by_definition(mask)).all()


@pytest.mark.parametrize(("by", "f"), [(8, 1.0), (9, 0.0)])
def test_an_edge_matches_within_the_tolerance_and_not_one_pixel_beyond(by: int, f: float) -> None:
    truth, answer = nothing((480, 854)), nothing((480, 854))  # a tolerance of 8
    truth[:, :100] = True
    answer[:, : 100 + by] = True
    assert compute_contour_accuracy(truth, answer) == f


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 2**32 - 1),
    smooth=st.sampled_from([1, 3, 7]),
    tolerance=st.sampled_from([0.008, 0.05, 0.2]),
)
def test_f_equals_a_computation_with_all_distances(
    size: tuple[int, int], seed: int, smooth: int, tolerance: float
) -> None:
    rng = np.random.default_rng(seed)

    def mask() -> Mask:
        noise = np.pad(rng.random(size), smooth, mode="wrap")
        rolled = [np.roll(noise, (dy, dx), (0, 1)) for dy in range(smooth) for dx in range(smooth)]
        blurred = np.mean(rolled, axis=0)[smooth:-smooth, smooth:-smooth]
        return np.asarray(blurred > np.quantile(blurred, rng.random()))

    truth, answer = mask(), mask()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(j_and_f, "TOLERANCE_FRACTION", tolerance)  # large radii on small pictures
        assert compute_contour_accuracy(truth, answer) == pytest.approx(contour_by_distances(truth, answer), abs=1e-6)


def test_void_pixels_belong_to_neither_mask() -> None:
    truth, answer = square(), square(side=30)
    void = answer & ~truth
    assert compute_j_and_f(truth, answer).j < 1
    assert compute_j_and_f(truth, answer, void) == (1.0, 1.0)


def test_f_is_symmetric() -> None:
    truth, answer = square(), square(top=12, left=11, side=17)
    assert compute_contour_accuracy(truth, answer) == compute_contour_accuracy(answer, truth)


def test_masks_of_different_sizes_are_refused() -> None:
    with pytest.raises(PromptError, match=r"\(40, 60\) and \(40, 61\)") as caught:
        compute_region_similarity(nothing(), nothing((40, 61)))
    assert caught.value.code == "mask-shape"
