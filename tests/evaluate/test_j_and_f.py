"""J and F follow the definition of DAVIS, checked against distances computed one by one."""

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


def empty(size: tuple[int, int] = (40, 60)) -> Mask:
    return np.zeros(size, bool)


def contour_by_definition(mask: Mask) -> Mask:
    """Pixels that differ from their right, lower or lower right neighbor inside the image."""
    found = np.zeros_like(mask)
    for y, x in np.ndindex(*mask.shape):
        neighbors = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
        found[y, x] = any(mask[y, x] != mask[n] for n in neighbors if n[0] < mask.shape[0] and n[1] < mask.shape[1])
    return found


def f_by_distances(ground_truth: Mask, prediction: Mask) -> float:
    """F from all distances between two contours."""
    true, predicted = (np.argwhere(contour_by_definition(mask)) for mask in (ground_truth, prediction))
    if not len(true) or not len(predicted):
        return float(len(true) == len(predicted))
    squared = ((true[:, None] - predicted[None]) ** 2).sum(-1)
    near = squared <= compute_tolerance_px(ground_truth.shape) ** 2
    precision, recall = near.any(0).mean(), near.any(1).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


@pytest.mark.parametrize(
    ("ground_truth", "prediction", "j", "f"),
    [
        (empty(), empty(), 1.0, 1.0),
        (empty(), square(), 0.0, 0.0),
        (square(), empty(), 0.0, 0.0),
        (square(), square(), 1.0, 1.0),
        (square(), ~empty(), 400 / 2400, 0.0),  # a full mask has an area but no contour
        (~empty(), ~empty(), 1.0, 1.0),
    ],
    ids=["both empty", "only predicted", "only true", "equal", "full prediction", "both full"],
)
def test_empty_and_full_masks(ground_truth: Mask, prediction: Mask, j: float, f: float) -> None:
    assert compute_j_and_f(ground_truth, prediction) == (pytest.approx(j), f)


def test_j_of_two_halves_that_share_a_third() -> None:
    ground_truth, prediction = empty((1, 6)), empty((1, 6))
    ground_truth[:, :4] = True
    prediction[:, 2:] = True
    assert compute_region_similarity(ground_truth, prediction) == pytest.approx(2 / 6)


@pytest.mark.parametrize(("size", "pixels"), [((480, 854), 8), ((1080, 1920), 18), ((10, 10), 1), ((2160, 3840), 36)])
def test_the_tolerance_is_eight_thousandths_of_the_diagonal_rounded_up(size: tuple[int, int], pixels: int) -> None:
    assert compute_tolerance_px(size) == pixels


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_a_contour_is_where_a_pixel_differs_from_its_right_lower_or_lower_right_neighbor(mask: Mask) -> None:
    assert (extract_contour(mask) == contour_by_definition(mask)).all()


@pytest.mark.parametrize(("by", "f"), [(8, 1.0), (9, 0.0)])
def test_an_edge_matches_within_the_tolerance_and_not_one_pixel_beyond(by: int, f: float) -> None:
    ground_truth, prediction = empty((480, 854)), empty((480, 854))  # a tolerance of 8
    ground_truth[:, :100] = True
    prediction[:, : 100 + by] = True
    assert compute_contour_accuracy(ground_truth, prediction) == f


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

    ground_truth, prediction = mask(), mask()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(j_and_f, "TOLERANCE_FRACTION", tolerance)  # large tolerances on small images
        assert compute_contour_accuracy(ground_truth, prediction) == pytest.approx(
            f_by_distances(ground_truth, prediction), abs=1e-6
        )


def test_void_pixels_belong_to_neither_mask() -> None:
    ground_truth, prediction = square(), square(side=30)
    void = prediction & ~ground_truth
    assert compute_j_and_f(ground_truth, prediction).j < 1
    assert compute_j_and_f(ground_truth, prediction, void) == (1.0, 1.0)


def test_f_is_symmetric() -> None:
    ground_truth, prediction = square(), square(top=12, left=11, side=17)
    assert compute_contour_accuracy(ground_truth, prediction) == compute_contour_accuracy(prediction, ground_truth)


def test_masks_of_different_sizes_are_refused() -> None:
    with pytest.raises(PromptError, match=r"\(40, 60\) and \(40, 61\)") as caught:
        compute_region_similarity(empty(), empty((40, 61)))
    assert caught.value.code == "mask-shape"
