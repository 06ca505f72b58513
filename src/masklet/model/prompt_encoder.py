"""Clicks, boxes and masks as tokens and as a map (reference-model §4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.config import ModelConfig
from masklet.model.layers import ChannelNorm
from masklet.model.position_encoding import FourierPositions

NOT_A_POINT = -1  # a learned token that says so
LABELS = 4  # negative click, positive click, the two corners of a box


class PromptEncoder(nn.Module):
    """Points become tokens (B, P, C), a mask becomes a map (B, C, h, w) that is added to the features."""

    def __init__(self, config: ModelConfig, hidden: int = 16) -> None:
        super().__init__()
        channels = config.channels
        self.fourier = FourierPositions(channels)
        self.labels = nn.ParameterList(torch.zeros(1, channels) for _ in range(LABELS))
        self.not_a_point = nn.Parameter(torch.zeros(1, channels))
        self.no_mask = nn.Parameter(torch.zeros(1, channels))
        self.mask1 = nn.Conv2d(1, hidden // 4, 2, stride=2)
        self.mask_norm1 = ChannelNorm(hidden // 4)
        self.mask2 = nn.Conv2d(hidden // 4, hidden, 2, stride=2)
        self.mask_norm2 = ChannelNorm(hidden)
        self.mask3 = nn.Conv2d(hidden, channels, 1)

    def points(self, places: Tensor, labels: Tensor, size: int) -> Tensor:
        """Tokens of `places` (B, P, 2), fractions of an input of side `size`.

        `labels` (B, P): 0 to 3 as in `LABELS`, `NOT_A_POINT` for no point.
        """
        labels = labels[..., None]
        tokens = self.fourier(places + 0.5 / size).to(self.not_a_point.dtype)  # pixel centres
        for label, embedding in enumerate(self.labels):
            tokens = torch.where(labels == label, tokens + embedding, tokens)
        return torch.where(labels == NOT_A_POINT, self.not_a_point, tokens)

    def mask(self, logits: Tensor) -> Tensor:
        """Logits (B, 1, 4h, 4w) → (B, C, h, w)."""
        x = F.gelu(self.mask_norm1(self.mask1(logits)))
        x = F.gelu(self.mask_norm2(self.mask2(x)))
        return self.mask3(x)
