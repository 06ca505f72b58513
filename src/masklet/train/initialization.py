"""Weights to begin with when there are none (reference-model §6.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Generator, nn

from masklet.config import ModelConfig
from masklet.model.attention import Attention
from masklet.model.sam2 import Sam2
from masklet.train.structured_init import keep_masks, look_at_the_same_place, look_nearby, paint_clicks, tell_places

SPREAD = 0.02

Module = TypeVar("Module", bound=nn.Module)


def fresh(config: ModelConfig, seed: int) -> Sam2:
    """A network with random weights, the same for the same seed."""
    model = seeded(seed, lambda: Sam2(config))  # convolutions keep PyTorch's own spread, which suits their fan-in
    initialise(model, torch.Generator().manual_seed(seed))
    return model


def seeded(seed: int, build: Callable[[], Module]) -> Module:
    """A module built with that seed, which leaves PyTorch's random numbers as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def initialise(model: Sam2, generator: Generator) -> None:
    """Linear layers of the trunk and learned embeddings get truncated normals of spread 0.02: features must begin
    small, or the decoder cannot hear the prompts beside them. Tokens of the decoder and point labels get a spread of 1,
    which tells them apart from the first step on. The rest keeps PyTorch's own spread, except where `priors` has
    something to begin with."""
    for module in model.trunk.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=SPREAD, generator=generator)
            nn.init.zeros_(module.bias)
    prompts, decoder = model.prompt_encoder, model.mask_decoder
    prompts.fourier.gaussian.normal_(generator=generator)  # a buffer: drawn here, never trained
    for table in (*prompts.labels, prompts.not_a_point, decoder.object_token, decoder.iou_token, decoder.mask_tokens):
        nn.init.normal_(table, generator=generator)
    for name, module in decoder.named_modules():
        if isinstance(module, Attention) and name.endswith(("to_image", "to_tokens")):
            look_nearby(module, prompts.fourier.gaussian)
    tables = (prompts.no_mask, model.trunk.positions, model.trunk.window_positions, model.slots, model.no_memory)
    for table in (*tables, model.no_memory_position, model.no_pointer, model.hidden):
        if table is not None:
            nn.init.trunc_normal_(table, std=SPREAD, generator=generator)
    tell_places(model)
    keep_masks(model)
    look_at_the_same_place(model)
    paint_clicks(model, generator)
