"""Prompts are checked when they are made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from masklet import absent, box, click, clicks, mask
from masklet.errors import PromptError
from masklet.prompts import Prompt, group_by_object


def test_a_click_is_one_labeled_point() -> None:
    prompt = click(3, 4, positive=False)
    assert prompt.points.tolist() == [[3, 4]]
    assert prompt.labels.tolist() == [0]


def test_the_corners_of_a_box_come_before_clicks() -> None:
    prompt = click(1, 1) + box(0, 0, 9, 9) + click(2, 2, positive=False)
    assert prompt.labels.tolist() == [2, 3, 1, 0]
    assert prompt.points.tolist() == [[0, 0], [9, 9], [1, 1], [2, 2]]


def test_clicks_are_positive_by_default() -> None:
    assert clicks([(1, 2), (3, 4)]).labels.tolist() == [1, 1]


def test_points_are_converted_to_fractions_of_the_image() -> None:
    assert click(50, 50).normalize_points((100, 200)).tolist() == [[0.25, 0.5]]


def test_a_point_half_a_pixel_outside_is_moved_to_the_edge() -> None:
    assert click(200.4, -0.3).normalize_points((100, 200)).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("point", [(201, 5), (-1, 5), (5, 101), (5, -0.6)])
def test_a_point_outside_the_image_is_refused(point: tuple[float, float]) -> None:
    with pytest.raises(PromptError, match="outside the image"):
        click(*point).normalize_points((100, 200))


@pytest.mark.parametrize(
    "values", [np.array([[0, 7]]), np.array([[0.2, 0.5]]), np.array([[False, True]]), np.array([[[0, 255]]], np.uint8)]
)
def test_masks_of_any_dtype_become_boolean(values: np.ndarray) -> None:
    binary = mask(values).mask
    assert binary is not None
    assert binary.tolist() == [[False, True]]


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
def test_an_invalid_prompt_is_refused(make, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PromptError) as caught:
        make()
    assert words in str(caught.value)
    assert caught.value.code in {"bad-prompt", "mask-shape"}


def test_prompts_are_immutable() -> None:
    prompt = click(1, 2)
    with pytest.raises(AttributeError):
        prompt.points = np.zeros((1, 2))  # type: ignore[misc]
    assert isinstance(prompt + click(3, 4), Prompt)


@pytest.mark.parametrize(
    ("prompts", "object_ids"),
    [
        (click(1, 2), [1]),
        ([click(1, 2), click(3, 4)], [1, 2]),
        ((click(1, 2) for _ in range(3)), [1, 2, 3]),
        ({7: click(1, 2)}, [7]),
        ({np.int64(7): click(1, 2)}, [7]),
    ],
)
def test_each_prompt_has_an_object_id(prompts: Any, object_ids: list[int]) -> None:
    grouped = group_by_object(prompts)
    assert list(grouped) == object_ids
    assert all(type(key) is int for key in grouped)


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ((230, 150), "got (230, 150); write predict(click(230, 150))"),
        ([[230, 150]], "write predict(click(230, 150))"),
        (np.array([[1, 2], [3.5, 4]]), "ndarray of shape (2, 2); write predict(clicks([(1, 2), (3.5, 4)]))"),
        (np.zeros((9, 2)), "write predict(clicks(points))"),
        ([40, 20, 420, 290], "write predict(box(40, 20, 420, 290))"),
        ([[1, 2, 3, 4], [5, 6, 7, 8]], "write predict([box(1, 2, 3, 4), box(5, 6, 7, 8)])"),
        (np.zeros((5, 7), bool), "write predict(mask(array))"),
        ("cat", "got 'cat'; write predict(click(230, 150))"),
        (None, "got None; write predict(click(230, 150))"),
        (5, "got 5; write predict(click(230, 150))"),
        ([click(1, 1), (2, 3)], "object 2 needs a prompt, got (2, 3); write predict({2: click(2, 3)})"),
        ({4: [2, 3, 4, 5]}, "object 4 needs a prompt, got [2, 3, 4, 5]; write predict({4: box(2, 3, 4, 5)})"),
        ({4: {1: click(1, 1)}}, "object 4 needs a prompt"),
        ({"cat": click(1, 1)}, "an object id must be an integer, got 'cat'; write {1: click(230, 150)}"),
        ({1.5: click(1, 1)}, "an object id must be an integer, got 1.5"),
        ({True: click(1, 1)}, "an object id must be an integer, got True"),
        ([], "no prompt given"),
        ({}, "no prompt given"),
    ],
)
def test_the_error_for_a_value_that_is_no_prompt_shows_the_correct_call(prompts: Any, words: str) -> None:
    with pytest.raises(PromptError) as caught:
        group_by_object(prompts)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.code == "bad-prompt"


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        (click(230, 150.5), "Prompt(click(230, 150.5))"),
        (click(1, 2, positive=False) + box(0, 0, 9, 9), "Prompt(box(0, 0, 9, 9) + click(1, 2, positive=False))"),
        (clicks(np.ones((500, 2))), "Prompt(500 clicks)"),
        (mask(np.ones((300, 200))) + click(1, 1), "Prompt(click(1, 1) + mask (300, 200))"),
        (absent(), "Prompt(absent())"),
    ],
)
def test_the_repr_of_a_prompt_is_one_line(prompt: Prompt, text: str) -> None:
    assert repr(prompt) == text


def test_every_kind_of_prompt_takes_a_label() -> None:
    prompts = [
        click(1, 2, label="dog"),
        clicks([(1, 2)], label="dog"),
        box(0, 0, 9, 9, label="dog"),
        mask(np.ones((2, 2)), label="dog"),
        absent(label="dog"),
    ]
    assert [prompt.label for prompt in prompts] == ["dog"] * 5
    assert click(1, 2).label is None
    assert click(1, 2, label=" traffic light ").label == "traffic light"
    assert repr(prompts[2] + prompts[0]) == "Prompt(box(0, 0, 9, 9) + click(1, 2), label='dog')"


def test_combined_prompts_keep_the_label() -> None:
    labeled, plain = box(0, 0, 9, 9, label="dog"), click(1, 2)
    assert (plain + labeled).label == (labeled + plain).label == (labeled + click(1, 2, label="dog")).label == "dog"
    with pytest.raises(PromptError, match="one label, got 'dog' and 'cat'"):
        labeled + click(1, 2, label="cat")


@pytest.mark.parametrize(
    "label", ["", "  ", "a\nb", "a\tb", "a\0", "a\u2028b", "\ud800", "\uffff", "x" * 201, 7, b"dog"]
)
def test_an_invalid_label_is_refused(label: Any) -> None:
    with pytest.raises(PromptError, match="a label must be 1 to 200 printable characters on one line"):
        click(1, 2, label=label)


@pytest.mark.parametrize("label", ["Straßenlaterne", "犬", "سگ‌ها", "👩‍🚀", 'a; b, c: "d" <e> & #f', "x" * 200])
def test_a_label_may_be_any_text_on_one_line(label: str) -> None:
    assert click(1, 2, label=label).label == label


@pytest.mark.parametrize("shape", [(300, 451), (150, 226), (600, 902), (75, 113), (256, 256), (64, 64), (1, 1)])
def test_a_mask_covers_the_image_at_any_resolution(shape: tuple[int, int]) -> None:
    mask(np.ones(shape)).check_fits((300, 451))


@pytest.mark.parametrize("shape", [(10, 10), (480, 854), (451, 300), (300, 300), (300, 455)])
def test_a_mask_of_other_proportions_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(
        PromptError, match=rf"a mask of {shape[1]} × {shape[0]} pixels does not fit .* 451 × 300"
    ) as caught:
        mask(np.ones(shape)).check_fits((300, 451))
    assert caught.value.code == "mask-shape"
    absent().check_fits((300, 451))
