"""Losses of masks, of their predicted IoU and of the object score (reference-model §10.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from masklet.backend import Candidates


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each part of the loss counts; the defaults are the paper's."""

    focal: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    occlusion: float = 1.0
    alpha: float = 0.25  # of focal: the share of the object against the rest; negative for no such weighting
    gamma: float = 2.0  # of focal: how little the pixels count that are right already
    edge: float = 0.0  # of focal: how much more the pixels count that are at the object's outline or beside it


class Parts(NamedTuple):
    """The parts of a loss, unweighted; sums over objects, each a scalar."""

    focal: Tensor
    dice: Tensor
    iou: Tensor
    occlusion: Tensor

    def total(self, weights: Weights) -> Tensor:
        """The weighted sum."""
        return (
            weights.focal * self.focal
            + weights.dice * self.dice
            + weights.iou * self.iou
            + weights.occlusion * self.occlusion
        )


def answer_loss(
    answer: Candidates, truth: Tensor, ambiguous: Tensor, weights: Weights, known: Tensor | None = None
) -> Parts:
    """The loss of one answer for N objects.

    `truth` (N, 1, H, W) in [0, 1]; where it is finer than the logits, those are stretched to it. Where `ambiguous`
    (N,) the best of the three masks counts and the predicted IoU of all three, elsewhere the single mask. Hidden
    objects have no mask loss; objects whose truth is not `known` (N,) have none at all.
    """
    logits = answer.logits.float()
    if logits.shape[-2:] != truth.shape[-2:]:
        logits = F.interpolate(logits, truth.shape[-2:], mode="bilinear", align_corners=False)
    present = truth.flatten(1).amax(dim=1) > 0
    known = torch.ones_like(present) if known is None else known
    visible = (present & known).to(logits.dtype)
    focal, dice = focal_loss(logits, truth, weights.alpha, weights.gamma, weights.edge), dice_loss(logits, truth)
    best = chosen_mask(weights.focal * focal.detach() + weights.dice * dice.detach(), ambiguous)
    errors = (answer.iou.float() - overlap(logits, truth)).abs()
    error = torch.where(ambiguous, errors[:, 1:].mean(dim=1), errors[:, 0])
    unseen = F.binary_cross_entropy_with_logits(answer.object_score[:, 0].float(), present.float(), reduction="none")
    return Parts(
        (focal.gather(1, best)[:, 0] * visible).sum(),
        (dice.gather(1, best)[:, 0] * visible).sum(),
        (error * visible).sum(),
        (unseen * known).sum(),
    )


def chosen_mask(cost: Tensor, ambiguous: Tensor) -> Tensor:
    """(N, 1): which of the four masks of least `cost` (N, 4) to train: one of the three, or the single mask."""
    return torch.where(ambiguous, 1 + cost[:, 1:].argmin(dim=1), 0)[:, None]


def focal_loss(logits: Tensor, truth: Tensor, alpha: float, gamma: float, edge: float = 0.0) -> Tensor:
    """(N, M): mean over the pixels of logits (N, M, H, W) against truth (N, 1, H, W), which may be fractions."""
    near = 1 + edge * outline(truth) if edge else None
    truth = truth.expand_as(logits)
    loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    if gamma:
        loss = loss * (logits.sigmoid() - truth).abs() ** gamma
    if near is not None:
        loss = loss * near
    if alpha >= 0:
        loss = loss * (alpha * truth + (1 - alpha) * (1 - truth))
    return loss.mean(dim=(2, 3))


def outline(truth: Tensor) -> Tensor:
    """(N, 1, H, W): 1 where the 3 × 3 pixels of such a truth are not all alike."""
    highest, lowest = F.max_pool2d(truth, 3, stride=1, padding=1), -F.max_pool2d(-truth, 3, stride=1, padding=1)
    return (highest > lowest).to(truth.dtype)


def dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """(N, M): 1 − (Σp + Σt − Σ|p − t| + 1) / (Σp + Σt + 1), which is 1 − (2 Σpt + 1) / (Σp + Σt + 1) where t is 0 or 1.

    Written so, it is least at p = t for fractions too; with Σpt it would be least for masks that are too large.
    """
    shares = logits.sigmoid()
    total = shares.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
    return 1 - (total - (shares - truth).abs().sum(dim=(2, 3)) + 1) / (total + 1)


@torch.no_grad()
def overlap(logits: Tensor, truth: Tensor) -> Tensor:
    """(N, M): the IoU that masks of these logits really have; an empty union counts as one pixel."""
    found, real = logits > 0, truth > 0.5
    both, either = (found & real).sum(dim=(2, 3)), (found | real).sum(dim=(2, 3))
    return both / either.clamp(min=1)
