"""The clicker clicks where the papers' clicker clicks, checked against distances computed one by one."""

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
    """How far each pixel of a region is from the nearest pixel outside it, the picture's frame included."""
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


@given(truth=masks, answer=masks)
def test_a_click_is_at_the_deepest_pixel_of_the_deeper_error(truth: Mask, answer: Mask) -> None:
    missing, surplus = depths(truth & ~answer), depths(answer & ~truth)
    click = simulate_click(truth, answer)
    if not missing.any() and not surplus.any():
        assert click is None
        return
    positive = missing.max() > surplus.max()
    y, x = divmod(int((missing if positive else surplus).argmax()), truth.shape[1])
    assert click_of(click) == (x, y, int(positive))


def test_the_first_click_is_in_the_middle_of_the_object() -> None:
    truth = np.zeros((20, 30), bool)
    truth[4:13, 10:19] = True
    assert click_of(simulate_click(truth)) == (14, 8, 1)


def test_equal_errors_get_a_negative_click() -> None:
    truth, answer = np.zeros((9, 20), bool), np.zeros((9, 20), bool)
    truth[2:7, 1:6], answer[2:7, 12:17] = True, True
    assert click_of(simulate_click(truth, answer)) == (14, 4, 0)


def test_of_equally_deep_pixels_the_first_in_reading_order_is_clicked() -> None:
    truth = np.zeros((4, 9), bool)
    truth[1:3, 1:8] = True  # two rows: all pixels are one deep
    assert click_of(simulate_click(truth)) == (1, 1, 1)


def test_a_perfect_answer_gets_no_click() -> None:
    truth = np.eye(5, dtype=bool)
    assert simulate_click(truth, truth) is None


def test_the_frame_of_the_picture_is_a_rim() -> None:
    assert click_of(simulate_click(np.ones((5, 5), bool))) == (2, 2, 1)


def test_a_box_spans_the_first_and_the_last_pixel() -> None:
    truth = np.zeros((20, 30), bool)
    truth[4:13, 10:19] = True
    assert simulate_box(truth).points.tolist() == [[10, 4], [18, 12]]


def test_the_box_of_one_pixel_has_an_area() -> None:
    truth = np.zeros((4, 4), bool)
    truth[3, 3] = True
    assert simulate_box(truth).points.tolist() == [[3, 3], [4, 4]]


def test_nothing_has_no_box() -> None:
    with pytest.raises(PromptError, match="empty mask"):
        simulate_box(np.zeros((4, 4), bool))


def test_masks_of_different_sizes_are_refused() -> None:
    with pytest.raises(PromptError, match=r"\(4, 4\) and \(4, 5\)"):
        simulate_click(np.zeros((4, 4), bool), np.zeros((4, 5), bool))
