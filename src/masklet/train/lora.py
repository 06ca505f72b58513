"""Low-rank updates (LoRA) of the trunk's attention weights, folded into the weights when they are saved."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from masklet.model.hiera import WindowAttention
from masklet.model.sam2 import Sam2


class LowRank(nn.Module):
    """A parametrization that adds `up` · `down` to a weight. `up` starts at zero."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        out, inner = weight.shape
        self.down = nn.Parameter(torch.empty(rank, inner, device=weight.device))
        self.up = nn.Parameter(torch.zeros(out, rank, device=weight.device))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def add_low_rank(model: Sam2, rank: int) -> None:
    """Add low-rank updates to every attention of the trunk."""
    for module in model.trunk.modules():
        if isinstance(module, WindowAttention):
            for linear in (module.qkv, module.proj):
                parametrize.register_parametrization(linear, "weight", LowRank(linear.weight, rank))


def fold_weights(model: Sam2) -> dict[str, Tensor]:
    """Return the model's weights under the names of a model without updates, with the updates added."""
    with torch.device("meta"):
        names = Sam2(model.config).state_dict()
    return {name: _get_tensor(model, name).detach() for name in names}


def _get_tensor(model: nn.Module, name: str) -> Tensor:
    owner, _, attribute = name.rpartition(".")
    value = getattr(model.get_submodule(owner), attribute, None)
    if value is None:  # the parameters of a ParameterList are no attributes
        value = dict(model.get_submodule(owner).named_parameters())[attribute]
    assert isinstance(value, Tensor)
    return value
