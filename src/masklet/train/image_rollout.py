"""A user and a model at work on a batch, with gradients: first prompts, answers, corrections.

Pictures and clips go the way of `segmenter` and `tracker`: the same `Sam2`, the same `MemoryBank`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from masklet.backend import NO_OBJECT, Candidates, Decoded, Features
from masklet.backends.torch import MEAN, STD
from masklet.model.sam2 import Sam2
from masklet.train.losses import Parts, Weights, answer_loss, overlap
from masklet.train.prompt_sampling import Asked, Shares, corrections, first_prompts, shrunk


@dataclass(frozen=True, slots=True)
class Plan:
    """How objects are prompted and how answers are judged."""

    shares: Shares
    weights: Weights
    clicks: int = 7  # corrections of an answer
    coarse: bool = False  # judge the low-res logits, not those stretched to the picture
    recompute: bool = False  # activations in the backward pass instead of keeping them
    blurred: int = 0  # the first correction is none, but the same prompt with the answer, so many cells of it made one


class Outcome(NamedTuple):
    """What came of a batch: the loss summed over objects and answers, and what is worth watching."""

    parts: Parts
    overlaps: Tensor  # (answers, N): IoU of each answer, NaN where there was nothing to find or to know
    areas: Tensor  # (2,): summed share of the picture that was answered, and that is true
    answers: int  # how many the parts are summed over


def normalised(frames: Tensor) -> Tensor:
    """Pictures (B, H, W, 3) uint8 → (B, 3, H, W) as the networks take them."""
    mean, std = (torch.tensor(values, device=frames.device)[:, None, None] for values in (MEAN, STD))
    return (frames.permute(0, 3, 1, 2).float() / 255 - mean) / std


def pictures(model: Sam2, features: Features, truth: Tensor, plan: Plan, rngs: Sequence[Generator]) -> Outcome:
    """Prompt each of the K objects `truth` (B, K, S, S) bool of B pictures with these features, then correct
    `plan.clicks` times. `rngs` are those of the B · K objects."""
    features = unremembering(model, features)
    features = Features(*(level.repeat_interleave(truth.shape[1], dim=0) for level in features))
    truth = truth.flatten(0, 1)
    asked = first_prompts(truth, plan.shares, rngs)
    return answered(model, features, truth, asked, plan, rngs, clicks=plan.clicks)[0]


def encoded(model: Sam2, frames: Tensor, plan: Plan) -> Features:
    """The features of pictures `frames` (B, S, S, 3) uint8."""
    images = normalised(frames)
    if not plan.recompute:
        return model.encode(images)
    return checkpoint(model.encode, images, use_reentrant=False)


def unremembering(model: Sam2, features: Features) -> Features:
    """Features as they are seen when there is nothing to remember."""
    batch, _, height, width = features.stride16.shape
    channels = model.config.memory_channels
    nothing = features.stride16.new_zeros(batch, 0, channels, height, width)
    none = features.stride16.new_zeros(batch, 0)
    return model.attend(features, nothing, none.long(), none[..., None], none)


def answered(
    model: Sam2,
    features: Features,
    truth: Tensor,
    asked: Asked,
    plan: Plan,
    rngs: Sequence[Generator],
    *,
    clicks: int,
    hide: bool = False,
) -> tuple[Outcome, Decoded]:
    """Answers for N objects `truth` (N, S, S) bool on their features: to what is `asked`, then to each correction.

    Gives the outcome and the last answer. With `hide`, objects whose score is not positive have no mask to correct or
    to remember, as in video; the loss sees their logits all the same, so that a wrong score does not hide a bad mask.
    Without it a click that comes with a mask is not ambiguous, as in pictures.
    """
    goal = shrunk(truth) if plan.coarse else truth[:, None].float()
    parts, shown = [], []
    for step in range(clicks + 1):
        answer = asked_of(model, features, asked, plan)
        ambiguous = asked.ambiguous if hide else asked.ambiguous & ~asked.masked
        parts.append(answer_loss(answer, goal, ambiguous, plan.weights))
        shown.append(chosen(answer, ambiguous, hide=hide))
        if step < clicks:
            if step == 0 and plan.blurred:
                asked = asked.again(_blurred(shown[-1].logits, plan.blurred))
                continue
            found = stretched(shown[-1].logits.detach(), truth.shape[-2:])[:, 0] > 0
            asked = asked.refined(*corrections(truth, found, plan.shares, rngs), shown[-1].logits)
    return _watched(parts, [one.logits.detach() for one in shown], truth), shown[-1]


def chosen(answer: Candidates, ambiguous: Tensor, *, hide: bool = False) -> Decoded:
    """What a user would see of N objects: the best of three by its predicted IoU, or the single mask."""
    shown = torch.where(ambiguous, 1 + answer.iou[:, 1:].argmax(dim=1), 0)
    rows = torch.arange(len(shown), device=shown.device)
    logits, score = answer.logits[rows, shown][:, None], answer.object_score
    if hide:
        logits = torch.where(score[..., None, None] > 0, logits, torch.full_like(logits, NO_OBJECT))
    return Decoded(logits, answer.iou[rows, shown][:, None], score, answer.pointers[rows, shown])


def asked_of(model: Sam2, features: Features, asked: Asked, plan: Plan) -> Candidates:
    """The decoder's answer."""
    if not plan.recompute:
        return model.decode(features, asked.points, asked.labels, asked.mask, asked.masked, asked.present)
    return checkpoint(
        model.decode,
        features,
        asked.points,
        asked.labels,
        asked.mask,
        asked.masked,
        asked.present,
        use_reentrant=False,
    )


def stretched(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Low-res logits (N, 1, h, w) at picture size."""
    return F.interpolate(logits.float(), tuple(size), mode="bilinear", align_corners=False)


def _blurred(logits: Tensor, factor: int) -> Tensor:
    """Logits as they are when an object is looked at `factor` times as closely as it was when they were made."""
    return stretched(F.avg_pool2d(logits, factor), logits.shape[-2:])


def summed(parts: Sequence[Parts]) -> Parts:
    """The parts of several answers, part by part."""
    return Parts(*(torch.stack(values).sum() for values in zip(*parts, strict=True)))


def _watched(parts: Sequence[Parts], shown: Sequence[Tensor], truth: Tensor) -> Outcome:
    """The outcome of answers whose low-res logits (N, 1, h, w) were `shown`."""
    visible = truth.flatten(1).any(dim=1)
    overlaps = torch.stack([overlap(logits, shrunk(truth))[:, 0] for logits in shown]).where(visible, torch.nan)
    answered_area = (shown[-1] > 0).float().mean(dim=(1, 2, 3)).sum()
    areas = torch.stack((answered_area, truth.float().mean(dim=(1, 2)).sum()))
    return Outcome(summed(parts), overlaps, areas, len(parts) * len(truth))
