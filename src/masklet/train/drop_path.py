"""Stochastic depth (drop path): leaves out random blocks of the trunk during training, later blocks more often."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from masklet.model.efficientnet_lite import EfficientNetLite, MBConv
from masklet.model.hiera import Hiera, HieraBlock
from masklet.model.vit import Vit


def add_drop_path(trunk: Hiera | Vit | EfficientNetLite, max_probability: float) -> None:
    """Leave out blocks in training mode, with a probability that grows with depth up to `max_probability`.

    Blocks are drawn separately for each image of a batch. The remaining residuals are scaled to keep their mean.
    Blocks that change the width are never left out, nor those of Hiera's first two stages, where a row of the batch is
    a tile of an image.
    """
    last = max(1, len(trunk.blocks) - 1)
    for index, block in enumerate(trunk.blocks):
        if isinstance(block, HieraBlock):
            in_tiles = isinstance(trunk, Hiera) and index <= trunk.stage_ends[1]
            can_be_left_out = block.shortcut is None and not in_tiles
        else:
            assert isinstance(block, MBConv)
            can_be_left_out = block.is_residual
        if can_be_left_out:
            block.register_forward_hook(_DropPath(max_probability * index / last))


class _DropPath:
    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, block: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        if not block.training or not self.probability:
            return output
        mask = torch.rand(len(output), 1, 1, 1, device=output.device) >= self.probability
        return inputs[0] + (output - inputs[0]) * mask / (1 - self.probability)
