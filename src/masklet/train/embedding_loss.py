"""Embedding loss: an auxiliary loss of the trunk that makes pixels of one object similar and others different.

Gradients from an untrained decoder train the trunk slowly. This loss reaches every pixel of every object
without the decoder. Its head is trained with the network and is not part of the saved weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.backend import Features
from masklet.config import ModelConfig
from masklet.train.loss_weights import LossWeights
from masklet.train.losses import dice_loss, focal_loss
from masklet.train.prompt_sampling import downsample_masks

EMBEDDING_CHANNELS = 24
NORM_PENALTY = 0.1  # of features with a mean square over 1, whose growth would make prompts ineffective


class EmbeddingLoss(nn.Module):
    """The loss and its head, which embeds each stride-4 cell from the features of all three strides."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.feature_channels
        self.heads = nn.ModuleList(nn.Conv2d(count, EMBEDDING_CHANNELS, 1) for count in channels)
        self.scale = nn.Parameter(torch.tensor(8.0))
        self.threshold = nn.Parameter(torch.tensor(0.5))

    def forward(self, features: Features, ground_truth: Tensor, weights: LossWeights) -> Tensor:
        """Compute the loss, summed over objects.

        The logit of a cell for an object grows with the cosine of the cell's embedding and the object's mean embedding.

        Args:
            features: Features of B images.
            ground_truth: (B, K, S, S) bool masks.
            weights: Weights of the focal loss and the dice loss.
        """
        size = features.stride4.shape[-2:]
        maps = [head(level) for head, level in zip(self.heads, features, strict=True)]
        resized = [F.interpolate(level, size, mode="bilinear", align_corners=False) for level in maps]
        embedded = F.normalize(torch.stack(resized).sum(dim=0), dim=1)  # B c h w
        goal = downsample_masks(ground_truth.flatten(0, 1)).unflatten(0, ground_truth.shape[:2])[:, :, 0]  # B K h w
        mean = F.normalize(torch.einsum("bchw,bkhw->bkc", embedded, goal), dim=2)
        logits = self.scale * (torch.einsum("bchw,bkc->bkhw", embedded, mean) - self.threshold)
        logits, goal = logits.flatten(0, 1)[:, None], goal.flatten(0, 1)[:, None]
        focal = focal_loss(logits, goal, weights.alpha, weights.gamma)
        excess = torch.stack([F.relu(level.square().mean() - 1) for level in features]).sum() * len(goal)
        return weights.focal * focal.sum() + weights.dice * dice_loss(logits, goal).sum() + NORM_PENALTY * excess
