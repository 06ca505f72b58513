"""How weights move: AdamW in groups, a schedule, and a moving average (spec §10.5)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from masklet.train.settings import Settings

MEMORY = ("memory_attention", "memory_encoder", "slots", "pointer_head", "pointer_times", "hidden", "no_pointer")


def groups(model: nn.Module, settings: Settings) -> list[dict[str, object]]:
    """AdamW's groups: trained parameters by learning rate and decay, each with its share of the rate as `share`."""
    undecayed = set(_undecayed(model))
    found: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = 0.0 if name in undecayed else settings.weight_decay
            found.setdefault((rate_share(model, name, settings), decay), []).append(parameter)
    return [
        {"params": parameters, "share": share, "lr": 0.0, "weight_decay": decay}
        for (share, decay), parameters in found.items()
    ]


def rate_share(model: nn.Module, name: str, settings: Settings) -> float:
    """The learning rate of a parameter as a share of the run's: less for the trunk, less still for its first blocks."""
    if name.startswith(MEMORY):
        return settings.memory_rate
    if not name.startswith(("trunk.", "neck.")):
        return 1.0
    if not name.startswith("trunk.") or name.startswith(("trunk.positions", "trunk.window_positions")):
        return settings.trunk_rate
    depth = sum(1 for _ in model.get_submodule("trunk.blocks").children())
    layer = int(name.split(".")[2]) + 1 if name.startswith("trunk.blocks.") else 0
    return float(settings.trunk_rate * settings.layer_decay ** (depth + 1 - layer))


def rate(settings: Settings, step: int, progress: float) -> float:
    """The learning rate: linear warm-up by steps, then a cosine over the run's progress from 0 to 1."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return (
        settings.rate
        * min(1.0, (step + 1) / max(1, settings.warmup))
        * (settings.last_rate + (1 - settings.last_rate) * cosine)
    )


def optimiser(model: nn.Module, beside: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """AdamW over the model's `groups` and what is trained `beside` it."""
    extra = [{"params": list(beside.parameters()), "share": 1.0, "lr": 0.0, "weight_decay": 0.0}]
    found = groups(model, settings) + (extra if extra[0]["params"] else [])
    return torch.optim.AdamW(found, betas=(0.9, settings.momentum), fused=True)


class Average:
    """The moving average of trained weights, which is what a run is for."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in _trained(model)}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """One step towards the model's weights; quicker at first, when the beginning is still in it."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        current = dict(_trained(model))
        torch._foreach_lerp_(list(self.weights.values()), [current[name] for name in self.weights], share)

    @contextmanager
    def shown(self, model: nn.Module) -> Iterator[None]:
        """The model with averaged weights, for as long as the block lasts."""
        self._swap(model)
        try:
            yield
        finally:
            self._swap(model)

    @torch.no_grad()
    def _swap(self, model: nn.Module) -> None:
        for name, parameter in _trained(model):
            current = parameter.detach().clone()
            parameter.copy_(self.weights[name])
            self.weights[name].copy_(current)


def _trained(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return ((name, value) for name, value in model.named_parameters() if value.requires_grad)


def _undecayed(model: nn.Module) -> Iterator[str]:
    """Biases and the weights of norms."""
    for prefix, module in model.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            if name == "bias" or isinstance(module, nn.LayerNorm):
                yield f"{prefix}.{name}" if prefix else name
