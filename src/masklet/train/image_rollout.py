"""Rollout of a batch of images with gradients: sample prompts, predict, sample corrections, predict again.

The networks are those of inference (`Sam2`). `video_rollout` does the same for clips and adds the memory bank.
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

from masklet.backend import IMAGE_MEAN, IMAGE_STD, NO_OBJECT, Candidates, Decoded, Features
from masklet.model.sam2 import Sam2
from masklet.train.loss_weights import LossWeights
from masklet.train.losses import Losses, compute_iou, compute_losses
from masklet.train.prompt_sampling import DecoderPrompts, downsample_masks, sample_corrections, sample_prompts
from masklet.train.prompt_shares import PromptShares


@dataclass(frozen=True, slots=True)
class RolloutOptions:
    """Options of prompt sampling and losses in a rollout."""

    shares: PromptShares
    weights: LossWeights
    clicks: int = 7  # correction clicks after the first prediction
    low_res_loss: bool = False  # compare low-resolution logits with downsampled masks instead of resizing the logits
    activation_checkpointing: bool = False  # recompute activations in the backward pass to save memory
    blur_factor: int = 0  # divides the resolution of the prediction that replaces the first correction; 0: off


class RolloutResult(NamedTuple):
    """Losses and metrics of a batch.

    Attributes:
        losses: Summed over objects and predictions.
        ious: (P, N): IoU of prediction p of object n; NaN where the object is not visible or unknown.
        areas: (2,): predicted area and ground-truth area, as fractions of the image, summed over objects.
        predictions: Number of predictions over which `losses` are summed.
    """

    losses: Losses
    ious: Tensor
    areas: Tensor
    predictions: int


def _normalize_images(frames: Tensor) -> Tensor:
    """Convert images (B, H, W, 3) uint8 to the network's input (B, 3, H, W) float32."""
    mean, std = (torch.tensor(values, device=frames.device)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
    return (frames.permute(0, 3, 1, 2).float() / 255 - mean) / std


def roll_out_images(
    model: Sam2, features: Features, ground_truth: Tensor, options: RolloutOptions, rngs: Sequence[Generator]
) -> RolloutResult:
    """Prompt K objects in each of B images, predict, and correct the predictions `options.clicks` times.

    Args:
        model: The network in training.
        features: Features of the B images, from `encode_images`.
        ground_truth: (B, K, S, S) bool masks.
        options: Options of prompt sampling and losses.
        rngs: One generator for each of the B · K objects.
    """
    features = condition_without_memory(model, features)
    features = Features(*(level.repeat_interleave(ground_truth.shape[1], dim=0) for level in features))
    ground_truth = ground_truth.flatten(0, 1)
    prompts = sample_prompts(ground_truth, options.shares, rngs)
    return predict_and_correct(model, features, ground_truth, prompts, options, rngs, clicks=options.clicks)[0]


def encode_images(model: Sam2, frames: Tensor, options: RolloutOptions) -> Features:
    """Encode images (B, S, S, 3) uint8."""
    images = _normalize_images(frames)
    if not options.activation_checkpointing:
        return model.encode(images)
    return checkpoint(model.encode, images, use_reentrant=False)


def condition_without_memory(model: Sam2, features: Features) -> Features:
    """Apply memory attention with an empty memory, as on prompted frames and images."""
    batch, _, height, width = features.stride16.shape
    channels = model.config.memory_channels
    no_maps = features.stride16.new_zeros(batch, 0, channels, height, width)
    empty = features.stride16.new_zeros(batch, 0)
    return model.attend(features, no_maps, empty.long(), empty[..., None], empty)


def predict_and_correct(
    model: Sam2,
    features: Features,
    ground_truth: Tensor,
    prompts: DecoderPrompts,
    options: RolloutOptions,
    rngs: Sequence[Generator],
    *,
    clicks: int,
    hide: bool = False,
) -> tuple[RolloutResult, Decoded]:
    """Predict the masks of N objects, then correct each prediction with a click and predict again.

    Args:
        model: The network in training.
        features: Conditioned features, one per object.
        ground_truth: (N, S, S) bool masks.
        prompts: The first prompts.
        options: Options of prompt sampling and losses.
        rngs: One generator per object.
        clicks: Number of corrections after the first prediction.
        hide: Replace the logits of objects whose score is not positive, as in video. Their losses use the original
            logits, so that a wrong score does not hide a wrong mask. Without `hide`, a click with a mask prompt is not
            ambiguous, as in images.

    Returns:
        The losses and metrics of all predictions, and the last prediction.
    """
    goal = downsample_masks(ground_truth) if options.low_res_loss else ground_truth[:, None].float()
    losses, predictions = [], []
    for step in range(clicks + 1):
        candidates = decode_prompts(model, features, prompts, options)
        ambiguous = prompts.ambiguous if hide else prompts.ambiguous & ~prompts.masked
        losses.append(compute_losses(candidates, goal, ambiguous, options.weights))
        predictions.append(select_masks(candidates, ambiguous, hide=hide))
        if step < clicks:
            logits = predictions[-1].logits
            if step == 0 and options.blur_factor:
                prompts = prompts.with_mask(_blur_logits(logits, options.blur_factor))
                continue
            predicted = upsample_logits(logits.detach(), ground_truth.shape[-2:])[:, 0] > 0
            prompts = prompts.with_click(*sample_corrections(ground_truth, predicted, options.shares, rngs), logits)
    return _summarize_rollout(losses, [p.logits.detach() for p in predictions], ground_truth), predictions[-1]


def select_masks(candidates: Candidates, ambiguous: Tensor, *, hide: bool = False) -> Decoded:
    """Select the mask of each object as inference does: the best of three by predicted IoU, or the single mask."""
    index = torch.where(ambiguous, 1 + candidates.iou[:, 1:].argmax(dim=1), 0)
    rows = torch.arange(len(index), device=index.device)
    logits, score = candidates.logits[rows, index][:, None], candidates.object_score
    if hide:
        logits = torch.where(score[..., None, None] > 0, logits, torch.full_like(logits, NO_OBJECT))
    return Decoded(logits, candidates.iou[rows, index][:, None], score, candidates.pointers[rows, index])


def decode_prompts(model: Sam2, features: Features, prompts: DecoderPrompts, options: RolloutOptions) -> Candidates:
    """Run the mask decoder."""
    if not options.activation_checkpointing:
        return model.decode(features, prompts.points, prompts.labels, prompts.mask, prompts.masked, prompts.present)
    return checkpoint(
        model.decode,
        features,
        prompts.points,
        prompts.labels,
        prompts.mask,
        prompts.masked,
        prompts.present,
        use_reentrant=False,
    )


def upsample_logits(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Resize logits (N, 1, h, w) to `size` (H, W)."""
    return F.interpolate(logits.float(), tuple(size), mode="bilinear", align_corners=False)


def sum_losses(losses: Sequence[Losses]) -> Losses:
    """Sum each kind of loss over several predictions."""
    return Losses(*(torch.stack(values).sum() for values in zip(*losses, strict=True)))


def _blur_logits(logits: Tensor, factor: int) -> Tensor:
    """Reduce the resolution of logits by `factor`, which simulates a prediction on an image that is zoomed out."""
    return upsample_logits(F.avg_pool2d(logits, factor), logits.shape[-2:])


def _summarize_rollout(losses: Sequence[Losses], predicted: Sequence[Tensor], ground_truth: Tensor) -> RolloutResult:
    """Collect losses, and metrics of the low-resolution logits (N, 1, h, w) of each prediction."""
    visible = ground_truth.flatten(1).any(dim=1)
    goal = downsample_masks(ground_truth)
    ious = torch.stack([compute_iou(logits, goal)[:, 0] for logits in predicted]).where(visible, torch.nan)
    predicted_area = (predicted[-1] > 0).float().mean(dim=(1, 2, 3)).sum()
    areas = torch.stack((predicted_area, ground_truth.float().mean(dim=(1, 2)).sum()))
    return RolloutResult(sum_losses(losses), ious, areas, len(losses) * len(ground_truth))
