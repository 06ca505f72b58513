"""Weights to begin with when there are none (spec §6.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Generator, Tensor, nn

from masklet.config import ModelConfig
from masklet.model.attention import Attention, RotaryAttention
from masklet.model.sam2 import Sam2

SPREAD = 0.02
NEARNESS = 2.0  # weight of each wave in queries and keys of the decoder
SAMENESS = 1.5  # of every even channel of queries and keys that rotations turn with their places
REST = 0.3  # of PyTorch's own spread, which is left beside it
FINEST = 0.85  # the share of the waves that are coarse enough to be looked at: finer ones repeat within the picture

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
    which tells them apart from the first step on. Prompts and places begin by looking at what is near them, and a place
    of a frame by looking at the same place of its memories. The rest keeps PyTorch's own spread."""
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
            _look_nearby(module, prompts.fourier.gaussian)
    for name, module in model.memory_attention.named_modules():
        if isinstance(module, RotaryAttention) and name.endswith("to_memory"):
            _look_at_the_same_place(module)
    tables = (prompts.no_mask, model.trunk.positions, model.trunk.window_positions, model.slots, model.no_memory)
    for table in (*tables, model.no_memory_position, model.no_pointer, model.hidden):
        if table is not None:
            nn.init.trunc_normal_(table, std=SPREAD, generator=generator)


@torch.no_grad()
def _look_nearby(look: Attention, gaussian: Tensor) -> None:
    """Queries and keys that agree where places do: each head compares a few of the waves that tell where things are.

    The product of a query and a key is then a sum of cos 2πg·(x − y), largest where both are at one place, and heads
    go from coarse waves to fine ones. Without this a network spends thousands of steps on finding out that a click
    means the pixels around it (`docs/log.md`).
    """
    inner, waves = look.q.out_features, gaussian.shape[1]
    coarse_first = gaussian.norm(dim=0).argsort()
    chosen = coarse_first[torch.linspace(0, int(FINEST * waves) - 1, inner // 2).long()]
    compared = torch.zeros(inner, 2 * waves)
    rows = torch.arange(0, inner, 2)
    compared[rows, chosen], compared[rows + 1, waves + chosen] = NEARNESS, NEARNESS
    for linear in (look.q, look.k):
        linear.weight.mul_(REST).add_(compared)
        nn.init.zeros_(linear.bias)


@torch.no_grad()
def _look_at_the_same_place(look: RotaryAttention) -> None:
    """Constant queries and keys: once each is turned by its place, their product is largest where both places are one.

    What was at a place a frame ago is the best guess of what is there now.
    """
    for linear in (look.q, look.k):
        nn.init.zeros_(linear.bias)
        linear.bias[0::2] = SAMENESS
