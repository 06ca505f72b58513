"""Losses compared with their formulas in NumPy (reference-model §10.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masklet.backend import Candidates  # noqa: E402
from masklet.train.loss_weights import LossWeights  # noqa: E402
from masklet.train.losses import compute_iou, compute_losses, dice_loss, find_boundary, focal_loss  # noqa: E402

N, M, H, W = 3, 4, 8, 8
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (N, M, H, W))
GROUND_TRUTH = (RNG.random((N, 1, H, W)) < 0.4).astype(float)
GROUND_TRUTH[2] = 0  # an object that is not visible
IOU = RNG.random((N, M))
SCORE = RNG.normal(0, 1, (N, 1))


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def focal(logits: Any, ground_truth: Any, alpha: float = 0.25, gamma: float = 2.0, factors: Any = 1) -> Any:
    p = sigmoid(logits)
    right = p * ground_truth + (1 - p) * (1 - ground_truth)
    weight = alpha * ground_truth + (1 - alpha) * (1 - ground_truth) if alpha >= 0 else 1
    return (-np.log(right) * (1 - right) ** gamma * weight * factors).mean(axis=(-2, -1))


def dice(logits: Any, ground_truth: Any) -> Any:
    p = sigmoid(logits)
    return 1 - (2 * (p * ground_truth).sum((-2, -1)) + 1) / (p.sum((-2, -1)) + ground_truth.sum((-2, -1)) + 1)


def expected_iou(logits: Any, ground_truth: Any) -> Any:
    result, expected_mask = logits > 0, ground_truth > 0.5
    return (result & expected_mask).sum((-2, -1)) / np.maximum((result | expected_mask).sum((-2, -1)), 1)


def candidates() -> Candidates:
    tensors = [torch.tensor(value, dtype=torch.float64) for value in (LOGITS, IOU, SCORE)]
    return Candidates(*tensors, torch.zeros(N, M, 2))


def test_focal_loss_is_the_formula() -> None:
    result = focal_loss(torch.tensor(LOGITS), torch.tensor(GROUND_TRUTH), 0.25, 2.0)
    np.testing.assert_allclose(result, focal(LOGITS, GROUND_TRUTH), rtol=1e-9)


def test_focal_loss_without_weighting_or_focus_is_cross_entropy() -> None:
    result = focal_loss(torch.tensor(LOGITS), torch.tensor(GROUND_TRUTH), -1.0, 0.0)
    np.testing.assert_allclose(result, focal(LOGITS, GROUND_TRUTH, -1.0, 0.0), rtol=1e-9)


def test_boundary_pixels_have_a_higher_weight() -> None:
    boundary = np.zeros_like(GROUND_TRUTH)
    for n, y, x in np.ndindex(N, H, W):
        near = GROUND_TRUTH[n, 0, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
        boundary[n, 0, y, x] = near.max() > near.min()
    np.testing.assert_array_equal(find_boundary(torch.tensor(GROUND_TRUTH)), boundary)
    result = focal_loss(torch.tensor(LOGITS), torch.tensor(GROUND_TRUTH), 0.25, 2.0, 3.0)
    np.testing.assert_allclose(result, focal(LOGITS, GROUND_TRUTH, factors=1 + 3 * boundary), rtol=1e-9)


def test_dice_loss_is_the_formula() -> None:
    np.testing.assert_allclose(
        dice_loss(torch.tensor(LOGITS), torch.tensor(GROUND_TRUTH)), dice(LOGITS, GROUND_TRUTH), rtol=1e-9
    )


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_dice_loss_of_a_fraction_has_its_minimum_at_that_fraction(share: float) -> None:
    fractions = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    values = dice_loss(fractions.logit().expand(8, 8, -1).permute(2, 0, 1)[None], torch.full((1, 1, 8, 8), share))
    assert fractions[values[0].argmin()].item() == pytest.approx(share)


def test_iou_of_two_empty_masks_is_zero() -> None:
    assert compute_iou(torch.full((1, 1, 4, 4), -1.0), torch.zeros(1, 1, 4, 4)).item() == 0


def test_all_losses_are_those_of_sam_2() -> None:
    ambiguous = np.array([True, False, True])
    # The loss computes in float32, as under autocast.
    losses = compute_losses(
        candidates(), torch.tensor(GROUND_TRUTH, dtype=torch.float32), torch.tensor(ambiguous), LossWeights()
    )
    costs = 20 * focal(LOGITS, GROUND_TRUTH) + dice(LOGITS, GROUND_TRUTH)
    best = np.where(ambiguous, 1 + costs[:, 1:].argmin(1), 0)
    rows, visible = np.arange(N), GROUND_TRUTH.any((1, 2, 3))
    errors = np.abs(IOU - expected_iou(LOGITS, GROUND_TRUTH))
    error = np.where(ambiguous, errors[:, 1:].mean(1), errors[:, 0])
    score = sigmoid(SCORE[:, 0])
    absence = -np.log(np.where(visible, score, 1 - score))
    expected = (
        (focal(LOGITS, GROUND_TRUTH)[rows, best] * visible).sum(),
        (dice(LOGITS, GROUND_TRUTH)[rows, best] * visible).sum(),
        (error * visible).sum(),
        absence.sum(),
    )
    np.testing.assert_allclose([float(value) for value in losses], expected, rtol=1e-5)
    assert float(losses.total(LossWeights())) == pytest.approx(20 * expected[0] + sum(expected[1:]), rel=1e-5)


def test_an_object_with_unknown_ground_truth_has_no_loss() -> None:
    none_known = torch.zeros(N, dtype=torch.bool)
    losses = compute_losses(candidates(), torch.tensor(GROUND_TRUTH), ~none_known, LossWeights(), known=none_known)
    assert [float(value) for value in losses] == [0, 0, 0, 0]


def test_only_the_best_of_the_three_masks_gets_gradients() -> None:
    logits = torch.tensor(LOGITS[:1], requires_grad=True)
    first = candidates()._replace(logits=logits, iou=torch.tensor(IOU[:1]), object_score=torch.tensor(SCORE[:1]))
    compute_losses(first, torch.tensor(GROUND_TRUTH[:1]), torch.tensor([True]), LossWeights()).total(
        LossWeights()
    ).backward()
    best = 1 + (20 * focal(LOGITS, GROUND_TRUTH) + dice(LOGITS, GROUND_TRUTH))[0, 1:].argmin()
    has_gradient = logits.grad.abs().sum((0, 2, 3)) > 0
    assert has_gradient.nonzero().flatten().tolist() == [best]


def test_logits_are_resized_to_a_finer_ground_truth() -> None:
    fine = np.kron(GROUND_TRUTH, np.ones((1, 1, 4, 4)))
    losses = compute_losses(candidates(), torch.tensor(fine), torch.ones(N, dtype=torch.bool), LossWeights())
    assert torch.isfinite(losses.total(LossWeights()))
