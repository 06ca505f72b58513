"""Mask decoder: features and prompt tokens → four masks, their IoU and the object score (reference-model §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.backend import Features
from masklet.config import ATTENTION_NORM_EPS, DECODER_HEADS, DECODER_LAYERS, NUM_MASKS, ModelConfig
from masklet.model.attention import Attention
from masklet.model.layers import MLP, ChannelNorm

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


class MaskDecoder(nn.Module):
    """A two-way transformer between prompt tokens and features, then one MLP per mask."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, (fine, medium) = config.channels, config.upscaled_channels
        self.high_resolution = config.high_resolution
        self.object_token = nn.Parameter(torch.zeros(1, channels))
        self.iou_token = nn.Parameter(torch.zeros(1, channels))
        self.mask_tokens = nn.Parameter(torch.zeros(NUM_MASKS, channels))
        self.transformer = TwoWayTransformer(channels, config.decoder_hidden)
        self.upscale1 = nn.ConvTranspose2d(channels, medium, 2, stride=2)
        self.upscale_norm = ChannelNorm(medium)
        self.upscale2 = nn.ConvTranspose2d(medium, fine, 2, stride=2)
        self.mask_heads = nn.ModuleList(MLP(channels, channels, fine, 3) for _ in range(NUM_MASKS))
        self.iou_head = MLP(channels, channels, NUM_MASKS, 3)
        self.object_head = MLP(channels, channels, 1, 3)

    def forward(
        self,
        features: Features[Tensor],
        positions: Float[Tensor, "1 C h w"],
        prompts: Float[Tensor, "B P C"],
        dense: Float[Tensor, "#B C h w"],
        present: Bool[Tensor, "B P"] | None = None,
    ) -> tuple[Float[Tensor, "B 4 4*h 4*w"], Float[Tensor, "B 4"], Float[Tensor, "B 1"], Float[Tensor, "B 4 C"]]:
        """Decode B prompts.

        Args:
            features: Features of one image or of B objects.
            positions: Position encoding of the features.
            prompts: Prompt tokens.
            dense: Encoded mask prompts.
            present: False for prompt tokens that only pad the batch.

        Returns:
            Logits, IoU in [0, 1], object score, and mask tokens.
        """
        batch, learned = prompts.shape[0], torch.cat((self.object_token, self.iou_token, self.mask_tokens))
        tokens = torch.cat((learned.expand(batch, -1, -1), prompts), dim=1)
        if present is not None:
            present = F.pad(present, (len(learned), 0), value=True)
        image = (features.stride16 + dense).expand(batch, -1, -1, -1)
        tokens, image = self.transformer(tokens, image, positions, present)
        masks = tokens[:, 2 : 2 + NUM_MASKS]
        logits = self._predict_logits(features, image, masks)
        return logits, self.iou_head(tokens[:, 1]).sigmoid(), self.object_head(tokens[:, 0]), masks

    def _predict_logits(
        self, features: Features[Tensor], image: Float[Tensor, "B C h w"], tokens: Float[Tensor, "B 4 C"]
    ) -> Float[Tensor, "B 4 4*h 4*w"]:
        x = self.upscale1(image)
        x = F.gelu(self.upscale_norm(x + features.stride8 if self.high_resolution else x))
        x = self.upscale2(x)
        x = F.gelu(x + features.stride4 if self.high_resolution else x)
        weights = torch.stack([head(tokens[:, index]) for index, head in enumerate(self.mask_heads)], dim=1)
        return (weights @ x.flatten(2)).unflatten(2, x.shape[-2:])


class TwoWayTransformer(nn.Module):
    """Two layers of attention between tokens and features, then one from tokens to features (reference-model §5.1)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        layers = (TwoWayLayer(channels, hidden, is_first=index == 0) for index in range(DECODER_LAYERS))
        self.layers = nn.ModuleList(layers)
        self.to_image = Attention(channels, DECODER_HEADS, inner=channels // 2)
        self.norm = nn.LayerNorm(channels, ATTENTION_NORM_EPS)

    def forward(
        self,
        tokens: Float[Tensor, "B N C"],
        image: Float[Tensor, "B C h w"],
        positions: Float[Tensor, "1 C h w"],
        present: Bool[Tensor, "B N"] | None,
    ) -> tuple[Float[Tensor, "B N C"], Float[Tensor, "B C h w"]]:
        """Update tokens and image. The input tokens are the tokens' position encodings."""
        shape = image.shape[-2:]
        image, positions = image.flatten(2).mT, positions.flatten(2).mT
        token_positions = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_positions, positions, present)
        tokens = self.norm(tokens + self.to_image(tokens + token_positions, image + positions, image))
        return tokens, image.mT.unflatten(2, shape)


class TwoWayLayer(nn.Module):
    """Tokens → tokens, tokens → image, MLP, image → tokens; each is followed by a norm (reference-model §5.1)."""

    def __init__(self, channels: int, hidden: int, *, is_first: bool) -> None:
        """Create a layer.

        Self-attention of the first layer has no positions and no residual (reference-model §12, G19).
        """
        super().__init__()
        self.is_first = is_first
        self.self_attention = Attention(channels, DECODER_HEADS)
        self.norm1 = nn.LayerNorm(channels, ATTENTION_NORM_EPS)
        self.to_image = Attention(channels, DECODER_HEADS, inner=channels // 2)
        self.norm2 = nn.LayerNorm(channels, ATTENTION_NORM_EPS)
        self.mlp = MLP(channels, hidden, channels, 2)
        self.norm3 = nn.LayerNorm(channels, ATTENTION_NORM_EPS)
        self.to_tokens = Attention(channels, DECODER_HEADS, inner=channels // 2)
        self.norm4 = nn.LayerNorm(channels, ATTENTION_NORM_EPS)

    def forward(
        self,
        tokens: Float[Tensor, "B N C"],
        image: Float[Tensor, "B M C"],
        token_positions: Float[Tensor, "B N C"],
        positions: Float[Tensor, "1 M C"],
        present: Bool[Tensor, "B N"] | None,
    ) -> tuple[Float[Tensor, "B N C"], Float[Tensor, "B M C"]]:
        queries = tokens if self.is_first else tokens + token_positions
        attended = self.self_attention(queries, queries, tokens, present)
        tokens = self.norm1(attended if self.is_first else tokens + attended)
        tokens = self.norm2(tokens + self.to_image(tokens + token_positions, image + positions, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.to_tokens(image + positions, tokens + token_positions, tokens, present))
        return tokens, image
