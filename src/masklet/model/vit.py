"""A plain vision transformer, the trunk of EfficientTAM: an image → features at stride 16."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from masklet.config import STRIDE, VIT_POSITIONS, ModelConfig
from masklet.model.hiera import HieraBlock
from masklet.model.position_encoding import load_table
from masklet.position_tables import compute_cubic_matrix

if TYPE_CHECKING:
    from jaxtyping import Float


class Vit(nn.Module):
    """Images → features at stride 16. Its blocks are Hiera's without pooling."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.levels = config.levels
        width = self.levels[STRIDE]
        self.patches = nn.Conv2d(3, width, STRIDE, stride=STRIDE)
        # the first embedding, that of a class token, is unused; released checkpoints contain it
        self.positions = nn.Parameter(torch.zeros(1, 1 + VIT_POSITIONS**2, width))
        self.blocks = nn.ModuleList(HieraBlock(block) for block in config.blocks)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B C H//16 W//16"]]:
        x = self.patches(image)
        x = (x + self._position_embedding(*x.shape[-2:])).permute(0, 2, 3, 1)
        for block in self.blocks:
            x = block(x)
        return (x.permute(0, 3, 1, 2),)

    def _position_embedding(self, height: int, width: int) -> Float[Tensor, "1 C {height} {width}"]:
        """Resize the grid of position embeddings."""
        grid = self.positions[:, 1:].mT.unflatten(2, (VIT_POSITIONS, VIT_POSITIONS))
        sizes = ((VIT_POSITIONS, side) for side in (height, width))
        rows, columns = (load_table(compute_cubic_matrix, size, grid.dtype, grid.device) for size in sizes)
        return rows @ grid @ columns.mT
