"""Losses: focal and dice loss of masks, L1 loss of the predicted IoU, BCE loss of the object score.

The source is reference-model §10.2.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from masklet.backend import Candidates
from masklet.train.loss_weights import LossWeights


class Losses(NamedTuple):
    """Unweighted losses, each a scalar summed over objects."""

    focal: Tensor
    dice: Tensor
    iou: Tensor
    object_score: Tensor

    def total(self, weights: LossWeights) -> Tensor:
        """Return the weighted sum."""
        return (
            weights.focal * self.focal
            + weights.dice * self.dice
            + weights.iou * self.iou
            + weights.object_score * self.object_score
        )


def compute_losses(
    candidates: Candidates, ground_truth: Tensor, ambiguous: Tensor, weights: LossWeights, known: Tensor | None = None
) -> Losses:
    """Compute the losses of the candidate masks of N objects.

    Args:
        candidates: The decoder's four masks per object. Logits that are coarser than the ground truth are resized.
        ground_truth: (N, 1, H, W) in [0, 1]. Objects that are not visible have no mask loss.
        ambiguous: (N,) bool. Where True, the best of the three multimask candidates and the IoU predictions of all
            three are trained; elsewhere the single mask.
        weights: Weights that choose the best candidate.
        known: (N,) bool. Objects whose ground truth is unknown have no loss. By default all are known.
    """
    logits = candidates.logits.float()
    if logits.shape[-2:] != ground_truth.shape[-2:]:
        logits = F.interpolate(logits, ground_truth.shape[-2:], mode="bilinear", align_corners=False)
    present = ground_truth.flatten(1).amax(dim=1) > 0
    known = torch.ones_like(present) if known is None else known
    visible = (present & known).to(logits.dtype)
    focal = focal_loss(logits, ground_truth, weights.alpha, weights.gamma, weights.boundary)
    dice = dice_loss(logits, ground_truth)
    best = _select_trained_mask(weights.focal * focal.detach() + weights.dice * dice.detach(), ambiguous)
    errors = (candidates.iou.float() - compute_iou(logits, ground_truth)).abs()
    error = torch.where(ambiguous, errors[:, 1:].mean(dim=1), errors[:, 0])
    scores = candidates.object_score[:, 0].float()
    absence = F.binary_cross_entropy_with_logits(scores, present.float(), reduction="none")
    return Losses(
        (focal.gather(1, best)[:, 0] * visible).sum(),
        (dice.gather(1, best)[:, 0] * visible).sum(),
        (error * visible).sum(),
        (absence * known).sum(),
    )


def _select_trained_mask(cost: Tensor, ambiguous: Tensor) -> Tensor:
    """Return the index (N, 1) of the mask to train: the cheapest of the last three by `cost` (N, 4), or the first."""
    return torch.where(ambiguous, 1 + cost[:, 1:].argmin(dim=1), 0)[:, None]


def focal_loss(logits: Tensor, ground_truth: Tensor, alpha: float, gamma: float, boundary: float = 0.0) -> Tensor:
    """Compute the focal loss of logits (N, M, H, W) against ground truth (N, 1, H, W) in [0, 1].

    `LossWeights` describes `alpha`, `gamma` and `boundary`.

    Returns:
        The means over the pixels, (N, M).
    """
    weight = 1 + boundary * find_boundary(ground_truth) if boundary else None
    ground_truth = ground_truth.expand_as(logits)
    loss = F.binary_cross_entropy_with_logits(logits, ground_truth, reduction="none")
    if gamma:
        loss = loss * (logits.sigmoid() - ground_truth).abs() ** gamma
    if weight is not None:
        loss = loss * weight
    if alpha >= 0:
        loss = loss * (alpha * ground_truth + (1 - alpha) * (1 - ground_truth))
    return loss.mean(dim=(2, 3))


def find_boundary(ground_truth: Tensor) -> Tensor:
    """Return 1 where the 3 × 3 neighborhood of a pixel of (N, 1, H, W) is not uniform, else 0."""
    highest = F.max_pool2d(ground_truth, 3, stride=1, padding=1)
    lowest = -F.max_pool2d(-ground_truth, 3, stride=1, padding=1)
    return (highest > lowest).to(ground_truth.dtype)


def dice_loss(logits: Tensor, ground_truth: Tensor) -> Tensor:
    """Compute the dice loss of logits (N, M, H, W) against ground truth (N, 1, H, W): (N, M).

    The formula is 1 − (Σp + Σt − Σ|p − t| + 1) / (Σp + Σt + 1). For binary t it is the usual
    1 − (2 Σpt + 1) / (Σp + Σt + 1). For fractional t its minimum is at p = t, where the usual one prefers masks that
    are too large.
    """
    shares = logits.sigmoid()
    total = shares.sum(dim=(2, 3)) + ground_truth.sum(dim=(2, 3))
    return 1 - (total - (shares - ground_truth).abs().sum(dim=(2, 3)) + 1) / (total + 1)


@torch.no_grad()
def compute_iou(logits: Tensor, ground_truth: Tensor) -> Tensor:
    """Compute the IoU (N, M) of thresholded logits (N, M, H, W) with (N, 1, H, W); 0 where both masks are empty."""
    predicted, expected = logits > 0, ground_truth > 0.5
    intersection, union = (predicted & expected).sum(dim=(2, 3)), (predicted | expected).sum(dim=(2, 3))
    return intersection / union.clamp(min=1)
