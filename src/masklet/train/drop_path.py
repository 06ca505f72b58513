"""Stochastic depth: now and then a block of the trunk is left out for a picture, later blocks more often."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from masklet.model.hiera import Block, Hiera


def add_drop_path(trunk: Hiera, most: float) -> None:
    """Leave blocks out while the trunk is in training mode: the last with probability `most`, earlier ones less often.

    Blocks that change the width stay, and so do the first two stages, which see tiles instead of pictures. What
    passes is scaled so that its mean does not change.
    """
    last = max(1, len(trunk.blocks) - 1)
    for index, block in enumerate(trunk.blocks):
        assert isinstance(block, Block)
        if block.shortcut is None and index > trunk.stage_ends[1]:
            block.register_forward_hook(_Dropping(most * index / last))


class _Dropping:
    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, block: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        if not block.training or not self.probability:
            return output
        kept = torch.rand(len(output), 1, 1, 1, device=output.device) >= self.probability
        return inputs[0] + (output - inputs[0]) * kept / (1 - self.probability)
