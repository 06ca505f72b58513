"""Rollout of a batch of clips with gradients: tracking with sampled prompts and corrections (reference-model §10.1).

Prompted frames come first, then the others in order. All objects of a batch are prompted on the same frames, so one
`MemoryBank` holds the memories of all of them. `image_rollout` has the steps on a single frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor

from masklet.backend import GIVEN_MASK_SCORE, MASK_BIAS, MASK_SCALE, Features, Memory, Recall
from masklet.config import MASK_STRIDE
from masklet.memory.memory_bank import MemoryBank
from masklet.model.sam2 import Sam2, select_pointers
from masklet.train.image_rollout import (
    RolloutOptions,
    RolloutResult,
    condition_without_memory,
    encode_images,
    predict_and_correct,
    sum_losses,
)
from masklet.train.losses import Losses
from masklet.train.prompt_sampling import make_empty_prompts, sample_prompts


class PromptSchedule(NamedTuple):
    """Prompted frames and corrected frames of a clip, and whether the prompts are masks."""

    prompted: tuple[int, ...]
    corrected: tuple[int, ...]
    masks: bool


def draw_schedule(length: int, masks: float, max_prompted: int, max_corrected: int, rng: Generator) -> PromptSchedule:
    """Draw the prompted and the corrected frames of a clip.

    Frame 0 is always prompted. Prompted frames are corrected too, except with mask prompts, which have no corrections
    and leave at least one frame to be predicted.

    Args:
        length: Frames of the clip.
        masks: The probability of mask prompts.
        max_prompted: The largest number of prompted frames.
        max_corrected: The largest number of corrected frames.
        rng: The source of random numbers.
    """
    use_masks = bool(rng.random() < masks) and length > 1
    count = int(rng.integers(1, min(max_prompted, length), endpoint=True))
    others = rng.choice(np.arange(1, length), count - 1, replace=False)
    prompted = (0, *(int(frame) for frame in others))
    if use_masks:
        return PromptSchedule(prompted[: length - 1], (), True)
    extra = int(rng.integers(count, max(count, min(max_corrected, length)), endpoint=True)) - count
    rest = [frame for frame in range(length) if frame not in prompted]
    corrected = (*prompted, *(int(frame) for frame in rng.choice(rest, extra, replace=False)))
    return PromptSchedule(prompted, corrected, False)


def roll_out_clips(
    model: Sam2,
    frames: Tensor,
    ground_truth: Tensor,
    schedule: PromptSchedule,
    options: RolloutOptions,
    rngs: Sequence[Generator],
) -> RolloutResult:
    """Track K objects through each of B clips.

    Args:
        model: The network in training.
        frames: (B, T, S, S, 3) uint8.
        ground_truth: (B, K, T, S, S) bool masks.
        schedule: The prompted and the corrected frames.
        options: Options of prompt sampling and losses.
        rngs: One generator for each of the B · K objects.

    Returns:
        The losses of all predictions. `ious` has a row per frame, of the frame's last prediction.
    """
    _, objects, length = ground_truth.shape[:3]
    features = encode_images(model, frames.flatten(0, 1), options)
    rollout = _ClipRollout(model, schedule, options, length)
    order = [*schedule.prompted, *(frame for frame in range(length) if frame not in schedule.prompted)]
    by_frame = {}
    for frame in order:
        on_frame = _select_frame(features, frame, length, objects)
        by_frame[frame] = rollout.process_frame(frame, on_frame, ground_truth[:, :, frame].flatten(0, 1), rngs)
    results = [by_frame[frame] for frame in range(length)]
    return RolloutResult(
        sum_losses([result.losses for result in results]),
        torch.stack([result.ious[-1] for result in results]),
        torch.stack([result.areas for result in results]).sum(dim=0),
        sum(result.predictions for result in results),
    )


class _ClipRollout:
    """The state of a rollout: the memory bank and the schedule of prompts."""

    def __init__(self, model: Sam2, schedule: PromptSchedule, options: RolloutOptions, length: int) -> None:
        self.model, self.schedule, self.options, self.length = model, schedule, options, length
        self.bank = MemoryBank()

    def process_frame(
        self, frame: int, features: Features, ground_truth: Tensor, rngs: Sequence[Generator]
    ) -> RolloutResult:
        """Predict N objects on one frame and add the last prediction to the memory bank."""
        prompted = frame in self.schedule.prompted
        if prompted and self.schedule.masks:
            return self._use_given_masks(frame, features, ground_truth)
        if prompted:
            conditioned = condition_without_memory(self.model, features)
            prompts = sample_prompts(ground_truth, self.options.shares, rngs)
        else:
            conditioned = self._attend_to_memory(features, frame)
            prompts = make_empty_prompts(ground_truth)
        clicks = self.options.clicks if frame in self.schedule.corrected else 0
        result, last = predict_and_correct(
            self.model, conditioned, ground_truth, prompts, self.options, rngs, clicks=clicks, hide=True
        )
        self._remember(frame, features, last.logits, last.object_score, last.pointer)
        return result

    def _attend_to_memory(self, features: Features, frame: int) -> Features:
        recall = self.bank.recall(frame, length=self.length)
        return self.model.attend(features, *stack_recall(recall, features.stride16))

    def _use_given_masks(self, frame: int, features: Features, ground_truth: Tensor) -> RolloutResult:
        """Add the ground-truth masks to the memory bank without a prediction, as inference does with mask prompts."""
        full = ground_truth[:, None].float()
        prompts = make_empty_prompts(ground_truth)
        candidates = self.model.decode(features, prompts.points, prompts.labels, self.model.mask_downsample(full))
        score = torch.where(full.flatten(1).any(dim=1, keepdim=True), GIVEN_MASK_SCORE, -GIVEN_MASK_SCORE)
        logits = F.interpolate(
            full * MASK_SCALE + MASK_BIAS, scale_factor=1 / MASK_STRIDE, mode="bilinear", antialias=True
        )
        self._remember(frame, features, logits, score, select_pointers(self.model, candidates.pointers[:, 0], score))
        zero, unknown = full.new_zeros(()), full.new_full((1, len(full)), torch.nan)
        return RolloutResult(Losses(zero, zero, zero, zero), unknown, full.new_zeros(2), 0)

    def _remember(self, frame: int, features: Features, logits: Tensor, score: Tensor, pointer: Tensor) -> None:
        binary = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)  # training never binarizes masks
        memory = Memory(self.model.memorize(features, logits, score, binary), pointer)
        self.bank.remember(frame, memory, prompted=frame in self.schedule.corrected or frame in self.schedule.prompted)


def stack_recall(recall: Recall, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Stack the memories of N objects into the arguments of `Sam2.attend`.

    Args:
        recall: The memories, each of N objects.
        like: A tensor (N, C, …) with the device and the dtype of the result.

    Returns:
        Memory maps (N, M, c, h, w), their slots (N, M), object pointers (N, P, C) and their times (N, P).
    """
    count = len(recall.spatial[0][1].features)
    slots = torch.tensor([slot for slot, _ in recall.spatial], device=like.device)
    times = torch.tensor([ago / max(recall.horizon, 1) for ago, _ in recall.pointers], device=like.device)
    maps = torch.stack([memory.features for _, memory in recall.spatial], dim=1)
    pointers = [memory.pointer for _, memory in recall.pointers]
    stacked = torch.stack(pointers, dim=1) if pointers else like.new_zeros(count, 0, like.shape[1])
    return maps, slots.expand(count, -1), stacked, times.to(torch.float32).expand(count, -1)


def _select_frame(features: Features, frame: int, length: int, objects: int) -> Features:
    """Select one frame of each clip of features (B · length, …), repeated for each object."""
    return Features(*(level[frame::length].repeat_interleave(objects, dim=0) for level in features))
