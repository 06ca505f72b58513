"""The click simulator follows the SAM papers, checked against distances computed one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from masklet.errors import PromptError
from masklet.evaluate.click_simulator import simulate_box, simulate_click

Mask = NDArray[np.bool_]


def depths(region: Mask) -> NDArray[np.float64]:
    """Distance of each pixel of a region from the nearest pixel outside it or outside the image."""
    padded = np.pad(region, 1)
    outside = np.argwhere(~padded)
    depth = np.zeros(padded.shape)
    for y, x in np.argwhere(padded):
        depth[y, x] = np.sqrt(((outside - (y, x)) ** 2).sum(1).min())
    return depth[1:-1, 1:-1]


def click_of(prompt: object) -> tuple[float, float, int]:
    assert prompt is not None
    (x, y), label = prompt.points[0], prompt.labels[0]  # type: ignore[attr-defined]
    return float(x), float(y), int(label)


masks = arrays(bool, st.shared(st.tuples(st.integers(1, 12), st.integers(1, 12)), key="size"))


@given(ground_truth=masks, prediction=masks)
def test_a_click_is_at_the_deepest_pixel_of_the_deeper_error(ground_truth: Mask, prediction: Mask) -> None:
    missing, surplus = depths(ground_truth & ~prediction), depths(prediction & ~ground_truth)
    click = simulate_click(ground_truth, prediction)
    if not missing.any() and not surplus.any():
        assert click is None
        return
    positive = missing.max() > surplus.max()
    y, x = divmod(int((missing if positive else surplus).argmax()), ground_truth.shape[1])
    assert click_of(click) == (x, y, int(positive))


def test_the_first_click_is_at_the_deepest_pixel_of_the_object() -> None:
    ground_truth = np.zeros((20, 30), bool)
    ground_truth[4:13, 10:19] = True
    assert click_of(simulate_click(ground_truth)) == (14, 8, 1)


def test_equal_errors_get_a_negative_click() -> None:
    ground_truth, prediction = np.zeros((9, 20), bool), np.zeros((9, 20), bool)
    ground_truth[2:7, 1:6], prediction[2:7, 12:17] = True, True
    assert click_of(simulate_click(ground_truth, prediction)) == (14, 4, 0)


def test_of_equally_deep_pixels_the_first_in_reading_order_is_clicked() -> None:
    ground_truth = np.zeros((4, 9), bool)
    ground_truth[1:3, 1:8] = True  # two rows: all pixels have a depth of 1
    assert click_of(simulate_click(ground_truth)) == (1, 1, 1)


def test_a_perfect_prediction_gets_no_click() -> None:
    ground_truth = np.eye(5, dtype=bool)
    assert simulate_click(ground_truth, ground_truth) is None


def test_pixels_outside_the_image_are_outside_the_object() -> None:
    assert click_of(simulate_click(np.ones((5, 5), bool))) == (2, 2, 1)


def test_a_box_spans_the_first_and_the_last_pixel() -> None:
    ground_truth = np.zeros((20, 30), bool)
    ground_truth[4:13, 10:19] = True
    assert simulate_box(ground_truth).points.tolist() == [[10, 4], [18, 12]]


def test_the_box_of_one_pixel_has_an_area() -> None:
    ground_truth = np.zeros((4, 4), bool)
    ground_truth[3, 3] = True
    assert simulate_box(ground_truth).points.tolist() == [[3, 3], [4, 4]]


def test_an_empty_mask_has_no_box() -> None:
    with pytest.raises(PromptError, match="empty mask"):
        simulate_box(np.zeros((4, 4), bool))


def test_masks_of_different_sizes_are_refused() -> None:
    with pytest.raises(PromptError, match=r"\(4, 4\) and \(4, 5\)"):
        simulate_click(np.zeros((4, 4), bool), np.zeros((4, 5), bool))
