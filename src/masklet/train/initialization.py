"""Initialization of a new network: random weights (reference-model §6.5), then those of `hand_designed_init`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Generator, nn

from masklet.config import ModelConfig
from masklet.model.attention import Attention
from masklet.model.hiera import Hiera
from masklet.model.sam2 import Sam2
from masklet.train.hand_designed_init import (
    init_click_response,
    init_decoder_attention,
    init_mask_channels,
    init_memory_attention,
    init_position_waves,
)

INIT_STD = 0.02  # of the truncated normal distribution

Module = TypeVar("Module", bound=nn.Module)


def create_model(config: ModelConfig, seed: int) -> Sam2:
    """Create a network with random weights, which depend on the seed alone."""
    model = build_seeded(seed, lambda: Sam2(config))  # convolutions keep PyTorch's initialization
    _initialize_weights(model, torch.Generator().manual_seed(seed))
    return model


def build_seeded(seed: int, build: Callable[[], Module]) -> Module:
    """Build a module with a seed, without a change to PyTorch's global random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def _initialize_weights(model: Sam2, generator: Generator) -> None:
    """Initialize the weights of a network in place.

    - Linear layers of the trunk and learned embeddings: truncated normal with a standard deviation of 0.02. Features
      must start small in comparison with prompts, or prompts have no effect on the decoder.
    - Tokens of the decoder and embeddings of point labels: normal with a standard deviation of 1, which makes them
      distinct from the first step on.
    - Some layers: hand-designed weights of `hand_designed_init`.
    - All others: PyTorch's initialization.
    """
    for module in model.trunk.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=INIT_STD, generator=generator)
            nn.init.zeros_(module.bias)
    prompts, decoder = model.prompt_encoder, model.mask_decoder
    prompts.fourier.gaussian.normal_(generator=generator)  # a buffer, which is never trained
    for table in (*prompts.labels, prompts.not_a_point, decoder.object_token, decoder.iou_token, decoder.mask_tokens):
        nn.init.normal_(table, generator=generator)
    for name, module in decoder.named_modules():
        if isinstance(module, Attention) and name.endswith(("to_image", "to_tokens")):
            init_decoder_attention(module, prompts.fourier.gaussian)
    trunk_tables = (model.trunk.positions, model.trunk.window_positions) if isinstance(model.trunk, Hiera) else ()
    tables = (prompts.no_mask, *trunk_tables, model.slots, model.no_memory)
    for table in (*tables, model.no_memory_position, model.no_pointer, model.hidden):
        if table is not None:
            nn.init.trunc_normal_(table, std=INIT_STD, generator=generator)
    init_position_waves(model)
    init_mask_channels(model)
    init_memory_attention(model)
    init_click_response(model, generator)
