"""Optimizers (AdamW, and Muon for matrices), parameter groups, schedule and moving average (reference-model §10.5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from masklet.train.settings import Settings

MEMORY = ("memory_attention", "memory_encoder", "slots", "pointer_head", "pointer_times", "hidden", "no_pointer")
MATRICES = ("trunk.blocks.", "mask_decoder.transformer.")  # whose linear layers Muon moves


@dataclass(frozen=True, slots=True)
class Movers:
    """Optimisers of different parameters as one. `names` are those of the parameters, by their `id`."""

    parts: tuple[torch.optim.Optimizer, ...]
    names: Mapping[int, str]

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The groups of all of them."""
        return [group for part in self.parts for group in part.param_groups]

    def forget(self) -> None:
        """Drop the gradients."""
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        """Move every parameter by its gradient."""
        for part in self.parts:
            part.step()

    @property
    def states(self) -> dict[str, dict[str, Any]]:
        """What they remember of each parameter, by name."""
        return {self.names[id(value)]: state for part in self.parts for value, state in part.state.items()}

    def fits(self, states: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether the same optimisers left these states, of the same parameters."""
        kept = {
            self.names[id(value)]: ("momentum_buffer" if isinstance(part, torch.optim.Muon) else "exp_avg", value.shape)
            for part in self.parts
            for value in _moved(part)
        }
        wanted = [(state, *kept.get(name, ("", None))) for name, state in states.items()]
        return all(kind in state and state[kind].shape == shape for state, kind, shape in wanted)

    def restore(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """The inverse of `states`."""
        for part in self.parts:
            names = [self.names[id(value)] for value in _moved(part)]
            own = {number: states[name] for number, name in enumerate(names) if name in states}
            part.load_state_dict(part.state_dict() | {"state": own})


def groups(model: nn.Module, settings: Settings) -> list[dict[str, Any]]:
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


def movers(model: nn.Module, beside: nn.Module, settings: Settings) -> Movers:
    """The optimisers of the model's `groups` and of what is trained `beside` it: AdamW, and with `settings.muon` Muon
    for `MATRICES`, with steps as long as AdamW's so that one rate does for both."""
    matrices = {id(value) for name, value in model.named_parameters() if value.ndim == 2 and name.startswith(MATRICES)}
    chosen = matrices if settings.muon else set()
    found = groups(model, settings)
    found.append({"params": list(beside.parameters()), "share": 1.0, "lr": 0.0, "weight_decay": 0.0})
    moved, rest = _only(found, lambda value: id(value) in chosen), _only(found, lambda value: id(value) not in chosen)
    parts: list[torch.optim.Optimizer] = []
    if moved:
        parts.append(torch.optim.Muon(moved, adjust_lr_fn="match_rms_adamw"))
    if rest:
        parts.append(torch.optim.AdamW(rest, betas=(0.9, settings.momentum), fused=True))
    return Movers(tuple(parts), {id(value): name for name, value in _named(model, beside)})


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


def _only(found: list[dict[str, Any]], wanted: Callable[[Tensor], bool]) -> list[dict[str, Any]]:
    """Groups with the wanted parameters alone, without those that are left empty."""
    kept = [{**group, "params": [value for value in group["params"] if wanted(value)]} for group in found]
    return [group for group in kept if group["params"]]


def _moved(part: torch.optim.Optimizer) -> list[Tensor]:
    """The parameters of an optimiser in the order by which it numbers them."""
    return [value for group in part.param_groups for value in group["params"]]


def _named(model: nn.Module, beside: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from ((f"beside.{name}", value) for name, value in beside.named_parameters())


def _trained(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return ((name, value) for name, value in model.named_parameters() if value.requires_grad)


def _undecayed(model: nn.Module) -> Iterator[str]:
    """Biases and the weights of norms."""
    for prefix, module in model.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            if name == "bias" or isinstance(module, nn.LayerNorm):
                yield f"{prefix}.{name}" if prefix else name
