"""How good is the model now? The same objects, clicked in the middle, at every visit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from masklet.model.sam2 import Sam2
from masklet.train.batches import drawn_objects
from masklet.train.image_rollout import Plan, encoded, pictures
from masklet.train.losses import Weights
from masklet.train.prompt_sampling import Shares
from masklet.train.sources import Pictures

CLICKS = 5
SEED = 20


class Quality(NamedTuple):
    """Mean IoU over objects after 1 to `CLICKS` clicks, and after a box alone."""

    clicks: tuple[float, ...]
    box: float


class Examples(NamedTuple):
    """Pictures (B, S, S, 3) uint8 and the masks (B, 1, S, S) bool of one object in each."""

    frames: Tensor
    truth: Tensor


def examples(source: Pictures, count: int) -> Examples:
    """The first `count` pictures of a source, each with one object of it."""
    frames, truths = [], []
    for index in range(count):
        sample = source.sample(index)
        chosen = drawn_objects(sample, 1, np.random.default_rng((SEED, index)))
        frames.append(sample.image)
        truths.append(sample.masks[chosen])
    return Examples(torch.from_numpy(np.stack(frames)), torch.from_numpy(np.stack(truths)))


@torch.no_grad()
def quality(model: Sam2, given: Examples, *, batch: int = 8) -> Quality:
    """The quality of a model's answers on examples; the model is left in the mode in which it was."""
    training, device = model.training, model.no_pointer.device
    model.eval()
    clicked, boxed = [], []
    for start in range(0, len(given.frames), batch):
        frames, truth = (part[start : start + batch].to(device) for part in given)
        rngs = [np.random.default_rng((SEED, start + row)) for row in range(len(frames))]
        clicks, boxes = _plan(CLICKS - 1, Shares(0, 1, 0, 1, 0)), _plan(0, Shares(0, 0, 1, 1, 0))
        features = encoded(model, frames, clicks)
        clicked.append(pictures(model, features, truth, clicks, rngs).overlaps)
        boxed.append(pictures(model, features, truth, boxes, rngs).overlaps)
    model.train(training)
    return Quality(tuple(_means(clicked)), _means(boxed)[0])


def _plan(clicks: int, shares: Shares) -> Plan:
    return Plan(shares, Weights(), clicks, coarse=True)


def _means(overlaps: Sequence[Tensor]) -> list[float]:
    return [round(value, 4) for value in torch.cat(list(overlaps), dim=1).nanmean(dim=1).tolist()]
