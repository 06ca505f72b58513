"""Drills: small ellipses to be answered to their boxes, or to their masks, where there is nothing to see.

What is not much larger than a place of the features, 16 pixels, can hardly be seen; but a box says where it is and how
large. Real objects of that size are rare, and so a network is slow to learn what a small box means (`docs/log.md`).
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
from masklet.train.image_rollout import Plan, pictures
from masklet.train.prompt_sampling import Shares

SIDES = 1 / 80, 1 / 4  # of the boxes, in sides of the picture
LEAST = 12  # pixels
SHARE = 0.5  # of what an object counts
SHOWN = Shares(mask=0.25, click=0.0, box=0.75)


def drilled(model: Sam2, features: Features, size: int, plan: Plan, rngs: Sequence[Generator]) -> Tensor:
    """The loss of drills on B pictures of that size with these features, one for each of the B · K `rngs`."""
    truth = ellipses(size, rngs, features.stride16.device).unflatten(0, (len(features.stride16), -1))
    plan = replace(plan, shares=SHOWN, clicks=0)
    return SHARE * pictures(model, features, truth, plan, rngs).parts.total(plan.weights)


def ellipses(size: int, rngs: Sequence[Generator], device: torch.device) -> Tensor:
    """(N, size, size) bool: ellipses of random places and sides, of at least `LEAST` pixels each."""
    x, y, across, down = torch.tensor([_drawn(size, rng) for rng in rngs], device=device).T[..., None]
    places = torch.arange(size, device=device) + 0.5
    rows, columns = ((places - y) / (down / 2)) ** 2, ((places - x) / (across / 2)) ** 2
    return rows[:, :, None] + columns[:, None] < 1


def _drawn(size: int, rng: Generator) -> tuple[float, float, float, float]:
    """The middle x and y of an ellipse, its width and its height in pixels."""
    low, high = np.log(SIDES)
    while True:
        width, height = size * np.exp((rng.uniform(low, high) + rng.uniform(low, high, 2)) / 2)
        x, y = rng.uniform(width / 2, size - width / 2), rng.uniform(height / 2, size - height / 2)
        if np.pi / 4 * width * height >= LEAST:
            return float(x), float(y), float(width), float(height)
