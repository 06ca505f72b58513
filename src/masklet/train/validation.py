"""Validation during training: mean IoU after clicks and after a box, on the same objects each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from masklet.model.sam2 import Sam2
from masklet.train.batches import draw_objects
from masklet.train.image_rollout import RolloutOptions, encode_images, roll_out_images
from masklet.train.loss_weights import LossWeights
from masklet.train.prompt_shares import PromptShares
from masklet.train.sources import ImageSampler

MAX_CLICKS = 5
SEED = 20


class Quality(NamedTuple):
    """Mean IoU over objects after 1 to `MAX_CLICKS` clicks, and after a box alone."""

    clicks: tuple[float, ...]
    box: float


class Examples(NamedTuple):
    """Images (B, S, S, 3) uint8 with the mask of one object each, (B, 1, S, S) bool."""

    frames: Tensor
    ground_truth: Tensor


def load_examples(images: ImageSampler, count: int) -> Examples:
    """Load the first `count` images of a sampler with one random object each."""
    frames, masks = [], []
    for index in range(count):
        sample = images.sample(index)
        chosen = draw_objects(sample, 1, np.random.default_rng((SEED, index)))
        frames.append(sample.image)
        masks.append(sample.masks[chosen])
    return Examples(torch.from_numpy(np.stack(frames)), torch.from_numpy(np.stack(masks)))


@torch.no_grad()
def measure_quality(model: Sam2, examples: Examples, *, batch: int = 8) -> Quality:
    """Measure the quality of a model in eval mode, `batch` examples at a time, and restore its mode."""
    training, device = model.training, model.no_pointer.device
    model.eval()
    clicks = _rollout_options(MAX_CLICKS - 1, PromptShares(0, 1, 0, 1, 0))
    box = _rollout_options(0, PromptShares(0, 0, 1, 1, 0))
    with_clicks, with_box = [], []
    for start in range(0, len(examples.frames), batch):
        frames, masks = (part[start : start + batch].to(device) for part in examples)
        rngs = [np.random.default_rng((SEED, start + row)) for row in range(len(frames))]
        features = encode_images(model, frames, clicks)
        with_clicks.append(roll_out_images(model, features, masks, clicks, rngs).ious)
        with_box.append(roll_out_images(model, features, masks, box, rngs).ious)
    model.train(training)
    return Quality(tuple(_mean_ious(with_clicks)), _mean_ious(with_box)[0])


def _rollout_options(clicks: int, shares: PromptShares) -> RolloutOptions:
    return RolloutOptions(shares, LossWeights(), clicks, low_res_loss=True)


def _mean_ious(ious: Sequence[Tensor]) -> list[float]:
    """Average the IoU of each prediction (P, N) over all objects."""
    return [round(value, 4) for value in torch.cat(list(ious), dim=1).nanmean(dim=1).tolist()]
