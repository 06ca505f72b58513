"""Synthetic box-to-ellipse and mask-to-ellipse tasks, which train prompts of small objects.

The ellipses are not in the image; their prompts alone define them. Objects of a cell's size (16 pixels) are hardly
visible in the features and rare in data, so a network learns small boxes slowly without such tasks (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from masklet.backend import Features
from masklet.model.sam2 import Sam2
from masklet.train.image_rollout import RolloutOptions, roll_out_images
from masklet.train.prompt_shares import PromptShares

BOX_SIDES = 1 / 80, 1 / 4  # smallest and largest side of a box, as a fraction of the image's side
MIN_AREA_PX = 12
LOSS_WEIGHT = 0.5  # relative to objects of the image
PROMPT_SHARES = PromptShares(mask=0.25, click=0.0, box=0.75)


def compute_ellipse_loss(
    model: Sam2, features: Features, size: int, options: RolloutOptions, rngs: Sequence[Generator]
) -> Tensor:
    """Compute the loss of K random ellipses on each of B images.

    Args:
        model: The network in training.
        features: Features of the B images.
        size: Side of the images in pixels.
        options: The options of the step; prompts are boxes and masks without corrections.
        rngs: One generator for each of the B · K ellipses.
    """
    masks = draw_ellipses(size, rngs, features.stride16.device).unflatten(0, (len(features.stride16), -1))
    options = replace(options, shares=PROMPT_SHARES, clicks=0)
    return LOSS_WEIGHT * roll_out_images(model, features, masks, options, rngs).losses.total(options.weights)


def draw_ellipses(size: int, rngs: Sequence[Generator], device: torch.device) -> Tensor:
    """Draw one random ellipse of at least `MIN_AREA_PX` pixels per generator: (N, size, size) bool."""
    x, y, width, height = torch.tensor([_draw_ellipse(size, rng) for rng in rngs], device=device).T[..., None]
    pixels = torch.arange(size, device=device) + 0.5
    rows, columns = ((pixels - y) / (height / 2)) ** 2, ((pixels - x) / (width / 2)) ** 2
    return rows[:, :, None] + columns[:, None] < 1


def _draw_ellipse(size: int, rng: Generator) -> tuple[float, float, float, float]:
    """Draw the center (x, y), the width and the height of an ellipse in pixels."""
    low, high = np.log(BOX_SIDES)
    while True:
        width, height = size * np.exp((rng.uniform(low, high) + rng.uniform(low, high, 2)) / 2)
        x, y = rng.uniform(width / 2, size - width / 2), rng.uniform(height / 2, size - height / 2)
        if np.pi / 4 * width * height >= MIN_AREA_PX:
            return float(x), float(y), float(width), float(height)
