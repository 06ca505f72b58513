"""Prompts check themselves when they are made."""

from __future__ import annotations

import numpy as np
import pytest

from masklet import box, click, clicks, mask
from masklet.errors import PromptError
from masklet.prompts import Prompt


def test_a_click_is_one_labelled_point() -> None:
    prompt = click(3, 4, positive=False)
    assert prompt.points.tolist() == [[3, 4]]
    assert prompt.labels.tolist() == [0]


def test_a_box_comes_before_the_clicks_it_is_joined_with() -> None:
    prompt = click(1, 1) + box(0, 0, 9, 9) + click(2, 2, positive=False)
    assert prompt.labels.tolist() == [2, 3, 1, 0]
    assert prompt.points.tolist() == [[0, 0], [9, 9], [1, 1], [2, 2]]


def test_clicks_are_positive_unless_labelled() -> None:
    assert clicks([(1, 2), (3, 4)]).labels.tolist() == [1, 1]


def test_points_become_fractions_of_the_picture() -> None:
    assert click(50, 50).within((100, 200)).tolist() == [[0.25, 0.5]]


def test_half_a_pixel_outside_is_the_edge() -> None:
    assert click(200.4, -0.3).within((100, 200)).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("point", [(201, 5), (-1, 5), (5, 101), (5, -0.6)])
def test_a_point_outside_the_picture_is_refused(point: tuple[float, float]) -> None:
    with pytest.raises(PromptError, match="outside the picture"):
        click(*point).within((100, 200))


@pytest.mark.parametrize(
    "values", [np.array([[0, 7]]), np.array([[0.2, 0.5]]), np.array([[False, True]]), np.array([[[0, 255]]], np.uint8)]
)
def test_a_mask_of_any_dtype_is_the_object_or_not(values: np.ndarray) -> None:
    found = mask(values).mask
    assert found is not None
    assert found.tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: box(200, 20, 10, 300), "did you pass (x, y, width, height)?"),
        (lambda: box(0, 0, 0, 5), "x0 < x1"),
        (lambda: box(0, 0, 5, 5) + box(1, 1, 2, 2), "at most one box"),
        (lambda: click(float("nan"), 1), "finite"),
        (lambda: click("a", 1), "numbers"),  # type: ignore[arg-type]
        (lambda: clicks([(1, 2)], [5]), "labels must be"),
        (lambda: clicks([(1, 2)], [0.5]), "labels must be"),
        (lambda: click(10**400, 1), "numbers"),
        (lambda: clicks([(1, 2)], [1, 0]), "as many labels"),
        (lambda: clicks([1, 2]), "(P, 2)"),
        (lambda: clicks(np.zeros((1001, 2))), "at most 1000"),
        (lambda: clicks(np.zeros((0, 2))), "at least one"),
        (lambda: mask(np.zeros((4, 4))), "empty"),
        (lambda: mask(np.ones((4, 4, 3))), "(H, W)"),
        (lambda: mask(np.full((2, 2), 7.0)), "logits > 0"),
        (lambda: mask(np.full((2, 2), np.nan)), "fractions"),
        (lambda: mask(np.array([["a"]])), "booleans or numbers"),
        (lambda: mask(np.ones((2, 2))) + mask(np.ones((2, 2))), "one mask"),
    ],
)
def test_a_prompt_that_cannot_be_meant_is_refused(make, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PromptError) as caught:
        make()
    assert words in str(caught.value)
    assert caught.value.code in {"bad-prompt", "mask-shape"}


def test_prompts_are_values() -> None:
    prompt = click(1, 2)
    with pytest.raises(AttributeError):
        prompt.points = np.zeros((1, 2))  # type: ignore[misc]
    assert isinstance(prompt + click(3, 4), Prompt)
