"""The losses against their formulas, written once more with NumPy (reference-model §10.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masklet.backend import Candidates  # noqa: E402
from masklet.train.losses import Weights, answer_loss, dice_loss, focal_loss, outline, overlap  # noqa: E402

N, M, H, W = 3, 4, 8, 8
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (N, M, H, W))
TRUTH = (RNG.random((N, 1, H, W)) < 0.4).astype(float)
TRUTH[2] = 0  # an object that is hidden
IOU = RNG.random((N, M))
SCORE = RNG.normal(0, 1, (N, 1))


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def focal(logits: Any, truth: Any, alpha: float = 0.25, gamma: float = 2.0, counts: Any = 1) -> Any:
    p = sigmoid(logits)
    right = p * truth + (1 - p) * (1 - truth)
    weight = alpha * truth + (1 - alpha) * (1 - truth) if alpha >= 0 else 1
    return (-np.log(right) * (1 - right) ** gamma * weight * counts).mean(axis=(-2, -1))


def dice(logits: Any, truth: Any) -> Any:
    p = sigmoid(logits)
    return 1 - (2 * (p * truth).sum((-2, -1)) + 1) / (p.sum((-2, -1)) + truth.sum((-2, -1)) + 1)


def real_iou(logits: Any, truth: Any) -> Any:
    found, real = logits > 0, truth > 0.5
    return (found & real).sum((-2, -1)) / np.maximum((found | real).sum((-2, -1)), 1)


def answer() -> Candidates:
    tensors = [torch.tensor(value, dtype=torch.float64) for value in (LOGITS, IOU, SCORE)]
    return Candidates(*tensors, torch.zeros(N, M, 2))


def test_focal_loss_is_the_formula() -> None:
    found = focal_loss(torch.tensor(LOGITS), torch.tensor(TRUTH), 0.25, 2.0)
    np.testing.assert_allclose(found, focal(LOGITS, TRUTH), rtol=1e-9)


def test_focal_loss_without_weighting_or_focus_is_cross_entropy() -> None:
    found = focal_loss(torch.tensor(LOGITS), torch.tensor(TRUTH), -1.0, 0.0)
    np.testing.assert_allclose(found, focal(LOGITS, TRUTH, -1.0, 0.0), rtol=1e-9)


def test_pixels_at_an_outline_count_more() -> None:
    unlike = np.zeros_like(TRUTH)
    for n, y, x in np.ndindex(N, H, W):
        near = TRUTH[n, 0, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
        unlike[n, 0, y, x] = near.max() > near.min()
    np.testing.assert_array_equal(outline(torch.tensor(TRUTH)), unlike)
    found = focal_loss(torch.tensor(LOGITS), torch.tensor(TRUTH), 0.25, 2.0, 3.0)
    np.testing.assert_allclose(found, focal(LOGITS, TRUTH, counts=1 + 3 * unlike), rtol=1e-9)


def test_dice_loss_is_the_formula() -> None:
    np.testing.assert_allclose(dice_loss(torch.tensor(LOGITS), torch.tensor(TRUTH)), dice(LOGITS, TRUTH), rtol=1e-9)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_dice_loss_of_a_fraction_is_least_at_that_fraction(share: float) -> None:
    answers = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    losses = dice_loss(answers.logit().expand(8, 8, -1).permute(2, 0, 1)[None], torch.full((1, 1, 8, 8), share))
    assert answers[losses[0].argmin()].item() == pytest.approx(share)


def test_overlap_of_two_empty_masks_is_zero() -> None:
    assert overlap(torch.full((1, 1, 4, 4), -1.0), torch.zeros(1, 1, 4, 4)).item() == 0


def test_all_parts_follow_the_paper() -> None:
    ambiguous = np.array([True, False, True])
    # The loss computes in float32, as under autocast.
    parts = answer_loss(answer(), torch.tensor(TRUTH, dtype=torch.float32), torch.tensor(ambiguous), Weights())
    costs = 20 * focal(LOGITS, TRUTH) + dice(LOGITS, TRUTH)
    best = np.where(ambiguous, 1 + costs[:, 1:].argmin(1), 0)
    rows, visible = np.arange(N), TRUTH.any((1, 2, 3))
    errors = np.abs(IOU - real_iou(LOGITS, TRUTH))
    error = np.where(ambiguous, errors[:, 1:].mean(1), errors[:, 0])
    wanted = sigmoid(SCORE[:, 0])
    unseen = -np.log(np.where(visible, wanted, 1 - wanted))
    expected = (
        (focal(LOGITS, TRUTH)[rows, best] * visible).sum(),
        (dice(LOGITS, TRUTH)[rows, best] * visible).sum(),
        (error * visible).sum(),
        unseen.sum(),
    )
    np.testing.assert_allclose([float(part) for part in parts], expected, rtol=1e-5)
    assert float(parts.total(Weights())) == pytest.approx(20 * expected[0] + sum(expected[1:]), rel=1e-5)


def test_an_object_whose_truth_is_unknown_has_no_loss_at_all() -> None:
    nobody = torch.zeros(N, dtype=torch.bool)
    parts = answer_loss(answer(), torch.tensor(TRUTH), ~nobody, Weights(), known=nobody)
    assert [float(part) for part in parts] == [0, 0, 0, 0]


def test_only_the_best_of_the_three_masks_gets_gradients() -> None:
    logits = torch.tensor(LOGITS[:1], requires_grad=True)
    given = answer()._replace(logits=logits, iou=torch.tensor(IOU[:1]), object_score=torch.tensor(SCORE[:1]))
    answer_loss(given, torch.tensor(TRUTH[:1]), torch.tensor([True]), Weights()).total(Weights()).backward()
    best = 1 + (20 * focal(LOGITS, TRUTH) + dice(LOGITS, TRUTH))[0, 1:].argmin()
    touched = logits.grad.abs().sum((0, 2, 3)) > 0
    assert touched.nonzero().flatten().tolist() == [best]


def test_a_finer_truth_stretches_the_logits() -> None:
    fine = np.kron(TRUTH, np.ones((1, 1, 4, 4)))
    parts = answer_loss(answer(), torch.tensor(fine), torch.ones(N, dtype=torch.bool), Weights())
    assert torch.isfinite(parts.total(Weights()))
