"""Tracking with gradients through clips: prompted frames first, then the others in order (reference-model §10.1).

All objects of a batch are prompted on the same frames, so that one `MemoryBank` keeps the memories of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor

from masklet.backend import Features, Memory, Recall
from masklet.model.sam2 import MASK_BIAS, MASK_SCALE, Sam2, point_at
from masklet.tracking.memory_bank import MemoryBank
from masklet.train.image_rollout import Outcome, Plan, answered, encoded, summed, unremembering
from masklet.train.losses import Parts
from masklet.train.prompt_sampling import first_prompts, unprompted

CERTAIN = 10.0  # the object score of a mask that is given, as released (reference-model §5.6)


class Script(NamedTuple):
    """Which frames of a clip begin with a prompt, whether those are masks, and which frames are corrected."""

    prompted: tuple[int, ...]
    corrected: tuple[int, ...]
    masks: bool


def drawn_script(length: int, masks: float, most_prompted: int, most_corrected: int, rng: Generator) -> Script:
    """The paper's script: prompts on the first frame and perhaps on others; corrections of prompted frames and perhaps
    of others, none where masks are given."""
    given = bool(rng.random() < masks)
    count = int(rng.integers(1, min(most_prompted, length), endpoint=True))
    others = rng.choice(np.arange(1, length), count - 1, replace=False)
    prompted = (0, *(int(frame) for frame in others))
    if given:
        return Script(prompted, (), True)
    extra = int(rng.integers(count, max(count, min(most_corrected, length)), endpoint=True)) - count
    rest = [frame for frame in range(length) if frame not in prompted]
    return Script(prompted, (*prompted, *(int(frame) for frame in rng.choice(rest, extra, replace=False))), False)


def clips(model: Sam2, frames: Tensor, truth: Tensor, script: Script, plan: Plan, rngs: Sequence[Generator]) -> Outcome:
    """Follow the K objects `truth` (B, K, T, S, S) bool of B clips `frames` (B, T, S, S, 3) uint8.

    `rngs` are those of the B · K objects. The outcome's `overlaps` are by frame, of its last answer.
    """
    _, objects, length = truth.shape[:3]
    features = encoded(model, frames.flatten(0, 1), plan)
    walk = _Walk(model, script, plan, length)
    order = [*script.prompted, *(frame for frame in range(length) if frame not in script.prompted)]
    outcomes = {
        frame: walk.visit(frame, _at(features, frame, length, objects), truth[:, :, frame].flatten(0, 1), rngs)
        for frame in order
    }
    found = [outcomes[frame] for frame in range(length)]
    return Outcome(
        summed([outcome.parts for outcome in found]),
        torch.stack([outcome.overlaps[-1] for outcome in found]),
        torch.stack([outcome.areas for outcome in found]).sum(dim=0),
        sum(outcome.answers for outcome in found),
    )


class _Walk:
    """One batch of clips being walked through."""

    def __init__(self, model: Sam2, script: Script, plan: Plan, length: int) -> None:
        self.model, self.script, self.plan, self.length = model, script, plan, length
        self.bank = MemoryBank()

    def visit(self, frame: int, features: Features, truth: Tensor, rngs: Sequence[Generator]) -> Outcome:
        """Answer for N objects on one frame, and remember the answer."""
        prompted = frame in self.script.prompted
        if prompted and self.script.masks:
            return self._adopted(frame, features, truth)
        seen = unremembering(self.model, features) if prompted else self._recalling(features, frame)
        clicks = self.plan.clicks if frame in self.script.corrected else 0
        asked = first_prompts(truth, self.plan.shares, rngs) if prompted else unprompted(truth)
        outcome, last = answered(self.model, seen, truth, asked, self.plan, rngs, clicks=clicks, hide=True)
        self._remember(frame, features, last.logits, last.object_score, last.pointer)
        return outcome

    def _recalling(self, features: Features, frame: int) -> Features:
        recall = self.bank.recall(frame, length=self.length)
        return self.model.attend(features, *recalled(recall, features.stride16))

    def _adopted(self, frame: int, features: Features, truth: Tensor) -> Outcome:
        """The true masks taken as given: nothing is answered, only remembered."""
        full = truth[:, None].float()
        asked = unprompted(truth)
        answer = self.model.decode(features, asked.points, asked.labels, self.model.mask_downsample(full))
        score = torch.where(full.flatten(1).any(dim=1, keepdim=True), CERTAIN, -CERTAIN)
        logits = F.interpolate(full * MASK_SCALE + MASK_BIAS, scale_factor=0.25, mode="bilinear", antialias=True)
        self._remember(frame, features, logits, score, point_at(self.model, answer.pointers[:, 0], score))
        nothing, unknown = full.new_zeros(()), full.new_full((1, len(full)), torch.nan)
        return Outcome(Parts(nothing, nothing, nothing, nothing), unknown, full.new_zeros(2), 0)

    def _remember(self, frame: int, features: Features, logits: Tensor, score: Tensor, pointer: Tensor) -> None:
        soft = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)  # masks are never hardened in training
        memory = Memory(self.model.memorize(features, logits, score, soft), pointer)
        self.bank.remember(frame, memory, prompted=frame in self.script.corrected or frame in self.script.prompted)


def recalled(recall: Recall, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A recall of memories of N objects as `Sam2.attend` takes it: maps, slots, pointers, times."""
    count = len(recall.spatial[0][1].features)
    slots = torch.tensor([slot for slot, _ in recall.spatial], device=like.device)
    times = torch.tensor([ago / max(recall.horizon, 1) for ago, _ in recall.pointers], device=like.device)
    maps = torch.stack([memory.features for _, memory in recall.spatial], dim=1)
    pointers = [memory.pointer for _, memory in recall.pointers]
    stacked = torch.stack(pointers, dim=1) if pointers else like.new_zeros(count, 0, like.shape[1])
    return maps, slots.expand(count, -1), stacked, times.to(torch.float32).expand(count, -1)


def _at(features: Features, frame: int, length: int, objects: int) -> Features:
    """One frame's features, once for each object; all clips' frames lie after one another."""
    return Features(*(level[frame::length].repeat_interleave(objects, dim=0) for level in features))
