"""Prompt sampling compared with NumPy and with the click simulator (reference-model §10.1)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.random import Generator, default_rng

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from masklet.evaluate.click_simulator import simulate_click  # noqa: E402
from masklet.train.prompt_sampling import (  # noqa: E402
    PromptShares,
    downsample_masks,
    find_center_clicks,
    make_empty_prompts,
    sample_boxes,
    sample_corrections,
    sample_prompts,
    sample_uniform_clicks,
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


GROUND_TRUTH = np.stack([rectangle(4, 6, 20, 12), rectangle(10, 10, 30, 31)])
PREDICTED = np.stack([rectangle(8, 6, 26, 12), rectangle(0, 0, 0, 0)])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_a_uniform_click_lies_on_an_error_and_has_its_label(seed: int) -> None:
    points, labels = sample_uniform_clicks(torch.tensor(GROUND_TRUTH), torch.tensor(PREDICTED), rngs(2, seed))
    for row, (x, y) in enumerate(pixels(points)):
        assert (GROUND_TRUTH ^ PREDICTED)[row, y, x]
        assert bool(labels[row]) == GROUND_TRUTH[row, y, x]


def test_uniform_clicks_hit_all_wrong_pixels_with_the_same_frequency() -> None:
    ground_truth, predicted = torch.tensor(rectangle(0, 0, 4, 1)[None]), torch.tensor(rectangle(2, 0, 6, 1)[None])
    draws = [int(pixels(sample_uniform_clicks(ground_truth, predicted, rngs(1, seed))[0])[0, 0]) for seed in range(800)]
    counts = np.bincount(draws, minlength=6)
    assert counts[[2, 3]].sum() == 0
    assert counts[[0, 1, 4, 5]].min() > 150  # 200 expected, four standard deviations are 49


def test_a_click_on_a_perfect_mask_is_negative_and_outside_of_the_object() -> None:
    points, labels = sample_uniform_clicks(torch.tensor(GROUND_TRUTH), torch.tensor(GROUND_TRUTH), rngs(2))
    for row, (x, y) in enumerate(pixels(points)):
        assert not GROUND_TRUTH[row, y, x]
    assert labels.tolist() == [0, 0]


def test_a_center_click_equals_the_simulated_click_of_evaluation() -> None:
    points, labels = find_center_clicks(torch.tensor(GROUND_TRUTH), torch.tensor(PREDICTED))
    for row, pixel in enumerate(pixels(points)):
        expected = simulate_click(GROUND_TRUTH[row], PREDICTED[row])
        assert expected is not None
        assert pixel.tolist() == expected.points[0].tolist()
        assert int(labels[row]) == int(expected.labels[0])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_box_noise_is_at_most_a_tenth_of_the_side_and_the_limit_of_sam_2(seed: int) -> None:
    found = sample_boxes(torch.tensor(GROUND_TRUTH), rngs(2, seed)).flatten(1).numpy() * SIZE
    tight = np.array([[4, 6, 19, 11], [10, 10, 29, 30]])
    bound = np.minimum(0.1 * np.array([[15, 5], [19, 20]]), 20 / 1024 * SIZE)
    assert (np.abs(found - tight) <= np.tile(bound, 2) + 1e-4).all()
    assert found.min() >= 0
    assert found.max() <= SIZE - 1


def test_a_prompt_depends_only_on_its_own_generator() -> None:
    both = sample_prompts(torch.tensor(GROUND_TRUTH), PromptShares(), rngs(2))
    second = sample_prompts(torch.tensor(GROUND_TRUTH[1:]), PromptShares(), rngs(2)[1:])
    for whole, part in zip(both, second, strict=True):
        assert torch.equal(whole[1:], part)


@pytest.mark.parametrize(
    ("shares", "present", "masked"),
    [
        (PromptShares(1, 0, 0), [False, False, False], True),
        (PromptShares(0, 1, 0), [True, True, False], False),
        (PromptShares(0, 0, 1), [True, True, True], False),
    ],
)
def test_first_prompts_are_masks_clicks_or_boxes(shares: PromptShares, present: list[bool], masked: bool) -> None:
    prompts = sample_prompts(torch.tensor(GROUND_TRUTH[:1]), shares, rngs(1))
    assert prompts.present[0].tolist() == present
    assert prompts.masked.tolist() == [masked]


def test_a_single_click_and_a_single_mask_are_ambiguous_and_a_box_is_not() -> None:
    ground_truth = torch.tensor(GROUND_TRUTH[:1])
    kinds = [
        sample_prompts(ground_truth, shares, rngs(1))
        for shares in (PromptShares(1, 0, 0), PromptShares(0, 1, 0), PromptShares(0, 0, 1))
    ]
    assert [bool(prompts.ambiguous) for prompts in kinds] == [True, True, False]


def test_a_second_click_is_not_ambiguous_and_has_the_prediction_as_mask() -> None:
    ground_truth = torch.tensor(GROUND_TRUTH)
    prompts = sample_prompts(ground_truth, PromptShares(0, 1, 0), rngs(2))
    logits = torch.randn(2, 1, SIZE // 4, SIZE // 4)
    corrected = prompts.with_click(
        *sample_corrections(ground_truth, torch.tensor(PREDICTED), PromptShares(), rngs(2)), logits
    )
    assert not corrected.ambiguous.any()
    assert corrected.masked.all()
    assert corrected.mask is logits


def test_with_mask_keeps_the_points_and_given_masks() -> None:
    prompts = sample_prompts(torch.tensor(GROUND_TRUTH), PromptShares(0, 1, 0), rngs(2))
    logits = torch.randn(2, 1, SIZE // 4, SIZE // 4)
    corrected = prompts.with_mask(logits)
    assert torch.equal(corrected.points, prompts.points)
    assert corrected.masked.all()
    assert torch.equal(corrected.mask, logits)
    with_masks = sample_prompts(torch.tensor(GROUND_TRUTH), PromptShares(1, 0, 0), rngs(2))
    assert torch.equal(with_masks.with_mask(logits).mask, with_masks.mask)


def test_a_click_on_an_unprompted_object_keeps_one_padding_token() -> None:
    ground_truth = torch.tensor(GROUND_TRUTH)
    prompts = make_empty_prompts(ground_truth)
    assert prompts.present.all()
    corrected = prompts.with_click(
        *sample_corrections(ground_truth, torch.tensor(PREDICTED), PromptShares(), rngs(2)), prompts.mask
    )
    assert corrected.present.tolist() == [[True, False, True]] * 2


def test_corrections_from_the_ground_truth_are_positive() -> None:
    ground_truth, predicted = torch.tensor(rectangle(0, 0, 8, 8)[None]), torch.tensor(rectangle(0, 0, 30, 30)[None])
    labels = [
        sample_corrections(ground_truth, predicted, PromptShares(from_ground_truth=1.0), rngs(1, seed))[1].item()
        for seed in range(20)
    ]
    assert labels == [1] * 20


def test_downsampled_masks_hold_the_covered_fraction_of_each_cell() -> None:
    mask = torch.zeros(1, 4, 8, dtype=torch.bool)
    mask[:, :, :6] = True
    assert downsample_masks(mask).flatten().tolist() == [1.0, 0.5]
