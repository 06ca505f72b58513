"""Drills: small ellipses to be answered to their boxes, where there is nothing to see.

What is not much larger than a place of the features, 16 pixels, can hardly be seen; but a box says where it is and how
large. Real objects of that size are rare, and so a network is slow to learn what a small box means (`docs/log.md`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from masklet.backend import Features
from masklet.model.sam2 import Sam2
from masklet.train.losses import Weights
from masklet.train.prompting import Shares
from masklet.train.rollout import Plan, pictures

SIDES = 1 / 64, 1 / 4  # of the boxes, in sides of the picture
LEAST = 12  # pixels
SHARE = 0.5  # of what an object counts
BOXED = Shares(0, 0, 1)


def drilled(model: Sam2, features: Features, size: int, weights: Weights, rngs: Sequence[Generator]) -> Tensor:
    """The loss of drills on B pictures of that size with these features, one for each of the B · K `rngs`."""
    pictures_seen = len(features.stride16)
    truth = torch.from_numpy(np.stack([ellipse(size, rng) for rng in rngs])).to(features.stride16.device)
    plan = Plan(BOXED, weights, clicks=0, coarse=True)
    return SHARE * pictures(model, features, truth.unflatten(0, (pictures_seen, -1)), plan, rngs).parts.total(weights)


def ellipse(size: int, rng: Generator) -> NDArray[np.bool_]:
    """(size, size): an ellipse of random place and sides, of at least `LEAST` pixels."""
    while True:
        low, high = np.log(SIDES)
        width, height = size * np.exp((rng.uniform(low, high) + rng.uniform(low, high, 2)) / 2)
        x, y = rng.uniform(width / 2, size - width / 2), rng.uniform(height / 2, size - height / 2)
        places = np.arange(size) + 0.5
        inside = ((places - x) / (width / 2)) ** 2 + ((places[:, None] - y) / (height / 2)) ** 2 < 1
        if inside.sum() >= LEAST:
            return np.asarray(inside)
