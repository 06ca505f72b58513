"""SAM 2 is four networks: encode a picture, attend to memories, decode a prompt into masks, memorize the answer.

Read this file first. Every method is a pure function of its arguments and of the weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from masklet.backend import MEMORY_SLOTS, NO_OBJECT, Candidates, Features
from masklet.config import ModelConfig
from masklet.model.hiera import Hiera
from masklet.model.layers import MLP
from masklet.model.mask_decoder import MaskDecoder
from masklet.model.memory_attention import MemoryAttention
from masklet.model.memory_encoder import MemoryEncoder
from masklet.model.neck import Neck
from masklet.model.position_encoding import compute_sine_encoding, compute_time_encoding
from masklet.model.prompt_encoder import PromptEncoder

MASK_SCALE, MASK_BIAS = 20.0, -10.0  # masks enter the memory encoder in [−10, 10] (reference-model §1.3)
STRIDE = 16


class Sam2(nn.Module):
    """The networks of one `ModelConfig`. They follow the device, the dtype and the size of their inputs."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, memory = config.channels, config.memory_channels
        self.config = config
        self.trunk = Hiera(config)
        self.neck = Neck(config)
        self.prompt_encoder = PromptEncoder(config)
        self.mask_decoder = MaskDecoder(config)
        self.memory_attention = MemoryAttention(config)
        self.memory_encoder = MemoryEncoder(config)
        self.pointer_head = MLP(channels, channels, channels, 3)
        self.mask_downsample = nn.Conv2d(1, 1, 4, stride=4)
        self.slots = nn.Parameter(torch.zeros(MEMORY_SLOTS, 1, 1, memory))
        self.no_memory = nn.Parameter(torch.zeros(1, 1, channels))
        self.no_memory_position = nn.Parameter(torch.zeros(1, 1, channels))  # never used; released checkpoints have it
        self.no_pointer = nn.Parameter(torch.zeros(1, channels))
        self.hidden = nn.Parameter(torch.zeros(1, memory)) if config.occlusion else None
        self.pointer_times = nn.Linear(channels, memory) if config.pointer_times else None

    def encode(self, images: Tensor) -> Features:
        """Normalised pictures (B, 3, S, S) → features at strides 4, 8 and 16 (reference-model §3)."""
        return self.neck(self.trunk(images))

    def attend(
        self,
        features: Features,
        memories: Tensor,
        slots: Tensor,
        pointers: Tensor,
        times: Tensor,
    ) -> Features:
        """Features (B or 1) as each of B objects sees them through its memories (reference-model §6.3).

        `memories` (B, T, c, h, w) in temporal `slots` (B, T); `pointers` (B, P, C) made `times` (B, P) ago, as
        fractions of the longest time. With T = 0 there is nothing to remember, which the features are told.
        """
        if memories.shape[1] == 0:
            alone = features.stride16 + self.no_memory.mT[..., None]
            return features._replace(stride16=alone.expand(memories.shape[0], -1, -1, -1))
        channels, height, width = memories.shape[2:]
        place = compute_sine_encoding(height, width, channels, memories).flatten(1).mT
        places = (place + self.slots[slots].flatten(2, 4)[:, :, None]).flatten(1, 2)
        tokens = torch.cat(
            (memories.flatten(3).mT.flatten(1, 2), pointers.unflatten(2, (-1, channels)).flatten(1, 2)), 1
        )
        places = torch.cat((places, self._pointer_places(pointers, times)), dim=1)
        return features._replace(stride16=self.memory_attention(features.stride16, tokens, places, memories.shape[1]))

    def decode(
        self,
        features: Features,
        points: Tensor,
        labels: Tensor,
        mask: Tensor | None = None,
        masked: Tensor | None = None,
        present: Tensor | None = None,
    ) -> Candidates:
        """Masks for N prompts on the features of one picture or of N objects (reference-model §4, §5).

        `points` (N, P, 2) fractions of the picture with `labels` (N, P); `mask` (N, 1, 4h, 4w) logits to start from
        for the prompts that are `masked` (N,); `present` (N, P) is false for points that only fill up a batch.
        """
        height, width = features.stride16.shape[-2:]
        prompts = self.prompt_encoder.encode_points(points, labels, height * STRIDE)
        dense = self.prompt_encoder.no_mask[..., None, None]
        if mask is not None:
            prompted = self.prompt_encoder.encode_mask(mask)
            dense = prompted if masked is None else torch.where(masked[:, None, None, None], prompted, dense)
        places = self.prompt_encoder.fourier.encode_grid(height, width).to(features.stride16.dtype)
        logits, iou, score, tokens = self.mask_decoder(features, places, prompts, dense, present)
        return Candidates(logits, iou, score, select_pointers(self, self.pointer_head(tokens), score[..., None]))

    def memorize(self, features: Features, logits: Tensor, score: Tensor, binarize: Tensor) -> Tensor:
        """Memories (B, c, h, w) of low-res `logits` (B, 1, 4h, 4w) on raw features (B or 1) (reference-model §6.1).

        `score` (B, 1) > 0 says that the object is there; `binarize` (B,) bool hardens masks of prompted frames.
        """
        visible = score[..., None, None] > 0
        logits = torch.where(visible, logits, torch.full_like(logits, NO_OBJECT))
        logits = F.interpolate(logits, scale_factor=STRIDE // 4, mode="bilinear", align_corners=False)
        mask = torch.where(binarize[:, None, None, None], (logits > 0).to(logits.dtype), logits.sigmoid())
        memory = self.memory_encoder(features.stride16, mask * MASK_SCALE + MASK_BIAS)
        if self.hidden is None:
            return memory
        return memory + torch.where(
            visible, torch.zeros_like(self.hidden[..., None, None]), self.hidden[..., None, None]
        )

    def _pointer_places(self, pointers: Tensor, times: Tensor) -> Tensor:
        """(B, P · C/c, c): where in time the pointers' tokens are; 2.0 does not say."""
        batch, count, channels = pointers.shape
        width = self.slots.shape[-1]
        if self.pointer_times is None:
            return pointers.new_zeros(batch, count * channels // width, width)
        places = self.pointer_times(compute_time_encoding(times, channels).to(pointers.dtype))
        return places.repeat_interleave(channels // width, dim=1)


def select_pointers(model: Sam2, pointers: Tensor, score: Tensor) -> Tensor:
    """Pointers of visible objects as they are, of hidden ones the learned "no pointer" (reference-model §5.5)."""
    return torch.where(score > 0, pointers, model.no_pointer)
