"""Prompt encoder: points and boxes as tokens, masks as a feature map (reference-model §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.config import MASK_PROMPT_CHANNELS, NOT_A_POINT, NUM_LABELS, ModelConfig
from masklet.model.layers import ChannelNorm
from masklet.model.position_encoding import FourierEncoding

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class PromptEncoder(nn.Module):
    """Points → tokens; a mask → a map that is added to the features."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, hidden = config.channels, MASK_PROMPT_CHANNELS
        self.fourier = FourierEncoding(channels)
        self.labels = nn.ParameterList(torch.zeros(1, channels) for _ in range(NUM_LABELS))
        self.not_a_point = nn.Parameter(torch.zeros(1, channels))
        self.no_mask = nn.Parameter(torch.zeros(1, channels))
        self.mask1 = nn.Conv2d(1, hidden // 4, 2, stride=2)
        self.mask_norm1 = ChannelNorm(hidden // 4)
        self.mask2 = nn.Conv2d(hidden // 4, hidden, 2, stride=2)
        self.mask_norm2 = ChannelNorm(hidden)
        self.mask3 = nn.Conv2d(hidden, channels, 1)

    def encode_points(
        self, points: Float[Tensor, "B P 2"], labels: Int[Tensor, "B P"], input_size: int
    ) -> Float[Tensor, "B P C"]:
        """Encode points as tokens.

        Args:
            points: Positions, xy as fractions of the image.
            labels: 0 negative, 1 positive, 2 and 3 the corners of a box, −1 (`NOT_A_POINT`) not a point.
            input_size: Side of the network's square in pixels.

        Returns:
            One token per point.
        """
        labels = labels[..., None]
        tokens = self.fourier(points + 0.5 / input_size).to(self.not_a_point.dtype)  # pixel centers
        for label, embedding in enumerate(self.labels):
            tokens = torch.where(labels == label, tokens + embedding, tokens)
        return torch.where(labels == NOT_A_POINT, self.not_a_point, tokens)

    def encode_mask(self, logits: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B C H//4 W//4"]:
        """Encode low-resolution logits as a map."""
        x = F.gelu(self.mask_norm1(self.mask1(logits)))
        x = F.gelu(self.mask_norm2(self.mask2(x)))
        return self.mask3(x)
