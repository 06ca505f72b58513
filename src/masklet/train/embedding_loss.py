"""A second opinion for the trunk: pixels of one object should look alike, and unlike the rest.

The decoder's gradients say little while it does not know what to ask for; this loss reaches every pixel of every object
without it. Its head is trained beside the network and left out of what is saved for use.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.backend import Features
from masklet.config import ModelConfig
from masklet.train.losses import Weights, dice_loss, focal_loss
from masklet.train.prompt_sampling import shrunk

CHANNELS = 24
GROWTH = 0.1  # what features cost whose mean square is over 1: directions alone would let them grow past all prompts


class Grouping(nn.Module):
    """An embedding of each cell of the mask's grid, made of the features of all three strides."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.channels
        self.heads = nn.ModuleList(nn.Conv2d(c, CHANNELS, 1) for c in (channels // 8, channels // 4, channels))
        self.scale = nn.Parameter(torch.tensor(8.0))
        self.threshold = nn.Parameter(torch.tensor(0.5))

    def forward(self, features: Features, truth: Tensor, weights: Weights) -> Tensor:
        """The loss, summed over the K objects `truth` (B, K, S, S) bool of B pictures.

        A cell belongs to an object as far as its embedding points the way of the object's mean.
        """
        size = features.stride4.shape[-2:]
        maps = [head(level) for head, level in zip(self.heads, features, strict=True)]
        stretched = [F.interpolate(level, size, mode="bilinear", align_corners=False) for level in maps]
        embedded = F.normalize(torch.stack(stretched).sum(dim=0), dim=1)  # B c h w
        goal = shrunk(truth.flatten(0, 1)).unflatten(0, truth.shape[:2])[:, :, 0]  # B K h w
        mean = F.normalize(torch.einsum("bchw,bkhw->bkc", embedded, goal), dim=2)
        logits = self.scale * (torch.einsum("bchw,bkc->bkhw", embedded, mean) - self.threshold)
        logits, goal = logits.flatten(0, 1)[:, None], goal.flatten(0, 1)[:, None]
        focal = focal_loss(logits, goal, weights.alpha, weights.gamma)
        grown = torch.stack([F.relu(level.square().mean() - 1) for level in features]).sum() * len(goal)
        return weights.focal * focal.sum() + weights.dice * dice_loss(logits, goal).sum() + GROWTH * grown
