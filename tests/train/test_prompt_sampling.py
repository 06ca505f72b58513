"""Prompts in training, against transcriptions with NumPy (reference-model §10.1)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.random import Generator, default_rng

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from masklet.evaluate.click_simulator import simulate_click  # noqa: E402
from masklet.train.prompt_sampling import (  # noqa: E402
    Shares,
    boxes,
    centre_clicks,
    corrections,
    first_prompts,
    shrunk,
    uniform_clicks,
    unprompted,
)

SIZE = 32


def rngs(count: int, seed: int = 0) -> list[Generator]:
    return [default_rng((seed, row)) for row in range(count)]


def rectangle(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def pixels(points: torch.Tensor) -> np.ndarray:
    return (points * SIZE).round().long().numpy()


TRUTH = np.stack([rectangle(4, 6, 20, 12), rectangle(10, 10, 30, 31)])
FOUND = np.stack([rectangle(8, 6, 26, 12), rectangle(0, 0, 0, 0)])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_a_uniform_click_lies_on_an_error_and_says_which(seed: int) -> None:
    points, labels = uniform_clicks(torch.tensor(TRUTH), torch.tensor(FOUND), rngs(2, seed))
    for row, (x, y) in enumerate(pixels(points)):
        assert (TRUTH ^ FOUND)[row, y, x]
        assert bool(labels[row]) == TRUTH[row, y, x]


def test_uniform_clicks_reach_every_wrong_pixel_equally_often() -> None:
    truth, found = torch.tensor(rectangle(0, 0, 4, 1)[None]), torch.tensor(rectangle(2, 0, 6, 1)[None])
    draws = [int(pixels(uniform_clicks(truth, found, rngs(1, seed))[0])[0, 0]) for seed in range(800)]
    counts = np.bincount(draws, minlength=6)
    assert counts[[2, 3]].sum() == 0
    assert counts[[0, 1, 4, 5]].min() > 150  # 200 expected, four standard deviations are 49


def test_a_click_where_nothing_is_wrong_is_negative_and_off_the_object() -> None:
    points, labels = uniform_clicks(torch.tensor(TRUTH), torch.tensor(TRUTH), rngs(2))
    for row, (x, y) in enumerate(pixels(points)):
        assert not TRUTH[row, y, x]
    assert labels.tolist() == [0, 0]


def test_a_centre_click_is_the_evaluations_click() -> None:
    points, labels = centre_clicks(torch.tensor(TRUTH), torch.tensor(FOUND))
    for row, place in enumerate(pixels(points)):
        wanted = simulate_click(TRUTH[row], FOUND[row])
        assert wanted is not None
        assert place.tolist() == wanted.points[0].tolist()
        assert int(labels[row]) == int(wanted.labels[0])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_a_box_is_tight_up_to_a_tenth_of_its_side_and_the_released_bound(seed: int) -> None:
    found = boxes(torch.tensor(TRUTH), rngs(2, seed)).flatten(1).numpy() * SIZE
    tight = np.array([[4, 6, 19, 11], [10, 10, 29, 30]])
    bound = np.minimum(0.1 * np.array([[15, 5], [19, 20]]), 20 / 1024 * SIZE)
    assert (np.abs(found - tight) <= np.tile(bound, 2) + 1e-4).all()
    assert found.min() >= 0
    assert found.max() <= SIZE - 1


def test_a_prompt_depends_only_on_its_own_generator() -> None:
    both = first_prompts(torch.tensor(TRUTH), Shares(), rngs(2))
    second = first_prompts(torch.tensor(TRUTH[1:]), Shares(), rngs(2)[1:])
    for whole, part in zip(both, second, strict=True):
        assert torch.equal(whole[1:], part)


@pytest.mark.parametrize(
    ("shares", "present", "masked"),
    [
        (Shares(1, 0, 0), [False, False, False], True),
        (Shares(0, 1, 0), [True, True, False], False),
        (Shares(0, 0, 1), [True, True, True], False),
    ],
)
def test_first_prompts_are_masks_clicks_or_boxes(shares: Shares, present: list[bool], masked: bool) -> None:
    asked = first_prompts(torch.tensor(TRUTH[:1]), shares, rngs(1))
    assert asked.present[0].tolist() == present
    assert asked.masked.tolist() == [masked]


def test_a_lone_click_and_a_lone_mask_are_ambiguous_and_a_box_is_not() -> None:
    truth = torch.tensor(TRUTH[:1])
    kinds = [first_prompts(truth, shares, rngs(1)) for shares in (Shares(1, 0, 0), Shares(0, 1, 0), Shares(0, 0, 1))]
    assert [bool(asked.ambiguous) for asked in kinds] == [True, True, False]


def test_a_second_click_is_no_longer_ambiguous_and_starts_from_the_answer() -> None:
    truth = torch.tensor(TRUTH)
    asked = first_prompts(truth, Shares(0, 1, 0), rngs(2))
    logits = torch.randn(2, 1, SIZE // 4, SIZE // 4)
    again = asked.refined(*corrections(truth, torch.tensor(FOUND), Shares(), rngs(2)), logits)
    assert not again.ambiguous.any()
    assert again.masked.all()
    assert again.mask is logits


def test_asked_again_is_the_same_prompt_with_the_answer() -> None:
    asked = first_prompts(torch.tensor(TRUTH), Shares(0, 1, 0), rngs(2))
    logits = torch.randn(2, 1, SIZE // 4, SIZE // 4)
    again = asked.again(logits)
    assert torch.equal(again.points, asked.points)
    assert again.masked.all()
    assert torch.equal(again.mask, logits)
    given = first_prompts(torch.tensor(TRUTH), Shares(1, 0, 0), rngs(2))
    assert torch.equal(given.again(logits).mask, given.mask)


def test_a_followed_object_that_is_clicked_keeps_one_token_that_is_no_point() -> None:
    truth = torch.tensor(TRUTH)
    asked = unprompted(truth)
    assert asked.present.all()
    again = asked.refined(*corrections(truth, torch.tensor(FOUND), Shares(), rngs(2)), asked.mask)
    assert again.present.tolist() == [[True, False, True]] * 2


def test_corrections_from_the_truth_are_positive_whatever_was_found() -> None:
    truth, found = torch.tensor(rectangle(0, 0, 8, 8)[None]), torch.tensor(rectangle(0, 0, 30, 30)[None])
    labels = [corrections(truth, found, Shares(from_truth=1.0), rngs(1, seed))[1].item() for seed in range(20)]
    assert labels == [1] * 20


def test_shrunk_masks_say_how_much_of_each_cell_is_covered() -> None:
    mask = torch.zeros(1, 4, 8, dtype=torch.bool)
    mask[:, :, :6] = True
    assert shrunk(mask).flatten().tolist() == [1.0, 0.5]
