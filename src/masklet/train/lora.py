"""Low-rank updates: a few trained numbers beside the trunk's frozen weights, folded into them when saved."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from masklet.model.hiera import WindowAttention
from masklet.model.sam2 import Sam2


class LowRank(nn.Module):
    """`weight` plus `up` · `down`; nothing at first, since `up` begins as zeros."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        out, inner = weight.shape
        self.down = nn.Parameter(torch.empty(rank, inner, device=weight.device))
        self.up = nn.Parameter(torch.zeros(out, rank, device=weight.device))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def add_low_rank(model: Sam2, rank: int) -> None:
    """Give every attention of the trunk updates of that rank."""
    for module in model.trunk.modules():
        if isinstance(module, WindowAttention):
            for linear in (module.qkv, module.proj):
                parametrize.register_parametrization(linear, "weight", LowRank(linear.weight, rank))


def folded(model: Sam2) -> dict[str, Tensor]:
    """The model's weights under their usual names, with updates folded in."""
    with torch.device("meta"):
        names = Sam2(model.config).state_dict()
    return {name: _named(model, name).detach() for name in names}


def _named(model: nn.Module, name: str) -> Tensor:
    owner, _, attribute = name.rpartition(".")
    value = getattr(model.get_submodule(owner), attribute, None)
    if value is None:  # a list of parameters counts them
        value = dict(model.get_submodule(owner).named_parameters())[attribute]
    assert isinstance(value, Tensor)
    return value
