"""SAM 2: the networks that encode an image, attend to memories, decode a prompt, and memorize the result.

Start reading here. Every method is a pure function of its arguments and the weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.backend import MASK_BIAS, MASK_SCALE, MEMORY_SLOTS, NO_OBJECT, Candidates, Features
from masklet.config import HIERA, MASK_STRIDE, REPVIT_SCALES, STRIDE, VIT_SCALES, ModelConfig
from masklet.model.efficientnet_lite import EfficientNetLite
from masklet.model.hiera import Hiera
from masklet.model.layers import MLP
from masklet.model.mask_decoder import MaskDecoder
from masklet.model.memory_attention import MemoryAttention, MemoryTokens
from masklet.model.memory_encoder import MemoryEncoder
from masklet.model.neck import Neck, PlainNeck
from masklet.model.perceiver import Perceiver
from masklet.model.position_encoding import compute_sine_encoding, compute_time_encoding, load_table
from masklet.model.prompt_encoder import PromptEncoder
from masklet.model.repvit import RepVit
from masklet.model.vit import Vit
from masklet.position_tables import compute_latent_positions

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


class Sam2(nn.Module):
    """The networks of one `ModelConfig`. They follow the device, the dtype and the size of their inputs."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, memory = config.channels, config.memory_channels
        self.config = config
        self.trunk = _build_trunk(config)
        self.neck = PlainNeck(config) if config.trunk in VIT_SCALES else Neck(config)
        self.prompt_encoder = PromptEncoder(config)
        self.mask_decoder = MaskDecoder(config)
        self.memory_attention = MemoryAttention(config)
        self.memory_encoder = MemoryEncoder(config)
        self.perceiver = Perceiver(config) if config.latent_grid else None
        self.pointer_head = MLP(channels, channels, channels, 3)
        self.mask_downsample = nn.Conv2d(1, 1, MASK_STRIDE, stride=MASK_STRIDE)
        self.slots = nn.Parameter(torch.zeros(MEMORY_SLOTS, 1, 1, memory))
        self.no_memory = nn.Parameter(torch.zeros(1, 1, channels))
        self.no_memory_position = nn.Parameter(torch.zeros(1, 1, channels))  # unused; released checkpoints contain it
        self.no_pointer = nn.Parameter(torch.zeros(1, channels))
        self.hidden = nn.Parameter(torch.zeros(1, memory)) if config.occlusion else None
        self.pointer_times = nn.Linear(channels, memory) if config.pointer_times else None

    def encode(self, images: Float[Tensor, "B 3 S S"]) -> Features[Tensor]:
        """Encode normalized images as features at strides 4, 8 and 16 (reference-model §3)."""
        return self.neck(self.trunk(images))

    def attend(
        self,
        features: Features[Tensor],
        memories: Float[Tensor, "B T c h w"],
        slots: Int[Tensor, "B T"],
        pointers: Float[Tensor, "B P C"],
        times: Float[Tensor, "B P"],
        scales: tuple[Float[Tensor, "B T"], Float[Tensor, "B P"]] | None = None,
    ) -> Features[Tensor]:
        """Condition the features of a frame on the memories of each of B objects (reference-model §6.3).

        With T = 0 the learned "no memory" embedding is added instead.

        Args:
            features: Features of one frame, or of B.
            memories: Memory maps.
            slots: Temporal slots of the maps.
            pointers: Object pointers.
            times: Ages of the pointers as fractions of the longest age.
            scales: Factors of the attention keys of the tokens of each map and of each pointer. None: 1.

        Returns:
            The features with a `stride16` of B objects.
        """
        if memories.shape[1] == 0:
            unconditioned = features.stride16 + self.no_memory.mT[..., None]
            return features._replace(stride16=unconditioned.expand(memories.shape[0], -1, -1, -1))
        channels, height, width = memories.shape[2:]
        positions = (
            self._memory_positions(height, width, memories) + self.slots[slots].flatten(2, 4)[:, :, None]
        ).flatten(1, 2)
        tokens = torch.cat(
            (memories.flatten(3).mT.flatten(1, 2), pointers.unflatten(2, (-1, channels)).flatten(1, 2)), 1
        )
        keys = tokens + torch.cat((positions, self._encode_pointer_times(pointers, times)), dim=1)
        token_scales = None
        if scales is not None:
            counts = height * width, pointers.shape[2] // channels  # tokens of a map and of a pointer
            repeated = (scale.repeat_interleave(count, dim=1) for scale, count in zip(scales, counts, strict=True))
            token_scales = torch.cat(tuple(repeated), dim=1)
        memory_tokens = MemoryTokens(keys, tokens, memories.shape[1], token_scales)
        attended = self.memory_attention(features.stride16, memory_tokens)
        return features._replace(stride16=attended)

    def decode(
        self,
        features: Features[Tensor],
        points: Float[Tensor, "N P 2"],
        labels: Int[Tensor, "N P"],
        mask: Float[Tensor, "N 1 H W"] | None = None,
        masked: Bool[Tensor, " N"] | None = None,
        present: Bool[Tensor, "N P"] | None = None,
    ) -> Candidates[Tensor]:
        """Decode N prompts into masks (reference-model §4, §5).

        Args:
            features: Features of one image, or of N objects.
            points: Positions, xy as fractions of the image.
            labels: See `PromptEncoder.encode_points`.
            mask: Mask prompts, low-resolution logits.
            masked: True where `mask` is a prompt. None: everywhere.
            present: False for points that only pad the batch. None: all points count.

        Returns:
            The four masks of each prompt.
        """
        height, width = features.stride16.shape[-2:]
        prompts = self.prompt_encoder.encode_points(points, labels, height * STRIDE)
        dense = self.prompt_encoder.no_mask[..., None, None]
        if mask is not None:
            prompted = self.prompt_encoder.encode_mask(mask)
            dense = prompted if masked is None else torch.where(masked[:, None, None, None], prompted, dense)
        positions = self.prompt_encoder.fourier.encode_grid(height, width).to(features.stride16.dtype)
        logits, iou, score, tokens = self.mask_decoder(features, positions, prompts, dense, present)
        return Candidates(logits, iou, score, select_pointers(self, self.pointer_head(tokens), score[..., None]))

    def memorize(
        self,
        features: Features[Tensor],
        logits: Float[Tensor, "B 1 H W"],
        score: Float[Tensor, "B 1"],
        binarize: Bool[Tensor, " B"],
    ) -> Float[Tensor, "B c rows columns"]:
        """Encode masks as memories (reference-model §6.1).

        Args:
            features: Raw features of one frame, or of B.
            logits: Low-resolution logits.
            score: Object scores; positive: the object is visible.
            binarize: True for masks of prompted frames, which are thresholded.

        Returns:
            Memory maps, of the shape `config.memory_shape`.
        """
        visible = score[..., None, None] > 0
        logits = torch.where(visible, logits, torch.full_like(logits, NO_OBJECT))
        logits = F.interpolate(logits, scale_factor=STRIDE // MASK_STRIDE, mode="bilinear", align_corners=False)
        mask = torch.where(binarize[:, None, None, None], (logits > 0).to(logits.dtype), logits.sigmoid())
        memory = self.memory_encoder(features.stride16, mask * MASK_SCALE + MASK_BIAS)
        if self.hidden is not None:
            hidden = self.hidden[..., None, None]
            memory = memory + torch.where(visible, torch.zeros_like(hidden), hidden)
        return memory if self.perceiver is None else self.perceiver(memory)

    def _memory_positions(self, height: int, width: int, like: Tensor) -> Float[Tensor, "tokens c"]:
        """Return the position encodings of the tokens of a memory of `height` rows and `width` columns."""
        config = self.config
        if self.perceiver is None:
            return compute_sine_encoding(height, width, config.memory_channels, like).flatten(1).mT
        sizes = config.global_latents, config.latent_grid, config.memory_channels
        return load_table(compute_latent_positions, sizes, like.dtype, like.device)

    def _encode_pointer_times(
        self, pointers: Float[Tensor, "B P C"], times: Float[Tensor, "B P"]
    ) -> Float[Tensor, "B tokens c"]:
        """Compute position encodings of the pointers' tokens; zeros in SAM 2.0."""
        batch, count, channels = pointers.shape
        width = self.slots.shape[-1]
        if self.pointer_times is None:
            return pointers.new_zeros(batch, count * channels // width, width)
        encoding = self.pointer_times(compute_time_encoding(times, channels).to(pointers.dtype))
        return encoding.repeat_interleave(channels // width, dim=1)


def _build_trunk(config: ModelConfig) -> Hiera | RepVit | Vit | EfficientNetLite:
    """Build the trunk that a configuration names."""
    if config.trunk == HIERA:
        return Hiera(config)
    if config.trunk in REPVIT_SCALES:
        return RepVit(config)
    return Vit(config) if config.trunk in VIT_SCALES else EfficientNetLite(config)


def select_pointers(
    model: Sam2, pointers: Float[Tensor, "*batch C"], score: Float[Tensor, "*#batch 1"]
) -> Float[Tensor, "*batch C"]:
    """Replace the pointers of hidden objects with the learned "no pointer" (reference-model §5.5)."""
    return torch.where(score > 0, pointers, model.no_pointer)
