"""Optimizers (AdamW, and Muon for matrices), parameter groups and learning-rate schedule (reference-model §10.5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from masklet.train.settings import Settings

MEMORY_PREFIXES = (
    *("memory_attention", "memory_encoder", "perceiver", "slots"),
    *("pointer_head", "pointer_times", "hidden", "no_pointer"),
)
MUON_PREFIXES = ("trunk.blocks.", "mask_decoder.transformer.")  # linear layers below these names can use Muon


@dataclass(frozen=True, slots=True)
class OptimizerGroup:
    """Several optimizers with one interface. `names` maps the `id` of each parameter to its name."""

    optimizers: tuple[torch.optim.Optimizer, ...]
    names: Mapping[int, str]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameter groups of all optimizers."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def zero_grad(self) -> None:
        """Reset the gradients of all parameters."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def step(self) -> None:
        """Update all parameters."""
        for optimizer in self.optimizers:
            optimizer.step()

    @property
    def states(self) -> dict[str, dict[str, Any]]:
        """The state of each parameter, by its name: moments and step counts."""
        return {
            self.names[id(value)]: state for optimizer in self.optimizers for value, state in optimizer.state.items()
        }

    def matches(self, states: Mapping[str, Mapping[str, Any]]) -> bool:
        """Return whether `states` belong to the same optimizers of the same parameters."""
        current = {
            self.names[id(value)]: (optimizer, value)
            for optimizer in self.optimizers
            for value in _ordered_parameters(optimizer)
        }
        return all(name in current and _is_state_of(state, *current[name]) for name, state in states.items())

    def load_states(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Load the states of all parameters, in the form of the property `states`."""
        for optimizer in self.optimizers:
            names = [self.names[id(value)] for value in _ordered_parameters(optimizer)]
            loaded = {number: states[name] for number, name in enumerate(names) if name in states}
            optimizer.load_state_dict(optimizer.state_dict() | {"state": loaded})


def group_parameters(model: nn.Module, settings: Settings) -> list[dict[str, Any]]:
    """Group the trainable parameters of a model by weight decay and by `rate_factor`, for AdamW."""
    undecayed = set(_undecayed_names(model))
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = 0.0 if name in undecayed else settings.weight_decay
            groups.setdefault((learning_rate_factor(model, name, settings), decay), []).append(parameter)
    return [
        {"params": parameters, "rate_factor": factor, "lr": 0.0, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]


def learning_rate_factor(model: nn.Module, name: str, settings: Settings) -> float:
    """Return the learning rate of a parameter relative to the run's: by module, and by depth in the trunk."""
    if name.startswith(MEMORY_PREFIXES):
        return settings.memory_rate_factor
    if name.startswith("neck."):
        return settings.neck_rate_factor
    if not name.startswith("trunk."):
        return 1.0
    if name.startswith(("trunk.positions", "trunk.window_positions")):
        return settings.trunk_rate_factor
    layers = "trunk.blocks" if hasattr(model.get_submodule("trunk"), "blocks") else "trunk.stages"  # of RepViT
    depth = sum(1 for _ in model.get_submodule(layers).children())
    layer = int(name.split(".")[2]) + 1 if name.startswith(f"{layers}.") else 0
    return float(settings.trunk_rate_factor * settings.layer_decay ** (depth + 1 - layer))


def compute_learning_rate(settings: Settings, step: int, progress: float) -> float:
    """Compute the learning rate: linear warm-up by steps, then a cosine over the progress of the run from 0 to 1."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return (
        settings.learning_rate
        * min(1.0, (step + 1) / max(1, settings.warmup_steps))
        * (settings.final_rate_factor + (1 - settings.final_rate_factor) * cosine)
    )


def build_optimizers(model: nn.Module, auxiliary: nn.Module, settings: Settings) -> OptimizerGroup:
    """Build the optimizers of a model and of an auxiliary module without weight decay.

    AdamW trains all parameters; with `settings.muon`, Muon trains the matrices below `MUON_PREFIXES`. Muon's updates
    are scaled to the size of AdamW's, so that one learning rate suits both.
    """
    matrices = {
        id(value) for name, value in model.named_parameters() if value.ndim == 2 and name.startswith(MUON_PREFIXES)
    }
    chosen = matrices if settings.muon else set()
    groups = group_parameters(model, settings)
    groups.append({"params": list(auxiliary.parameters()), "rate_factor": 1.0, "lr": 0.0, "weight_decay": 0.0})
    for_muon = _filter_groups(groups, lambda value: id(value) in chosen)
    for_adamw = _filter_groups(groups, lambda value: id(value) not in chosen)
    optimizers: list[torch.optim.Optimizer] = []
    if for_muon:
        optimizers.append(torch.optim.Muon(for_muon, adjust_lr_fn="match_rms_adamw"))
    if for_adamw:
        optimizers.append(torch.optim.AdamW(for_adamw, betas=(0.9, settings.adam_beta2), fused=True))
    return OptimizerGroup(tuple(optimizers), {id(value): name for name, value in _named_parameters(model, auxiliary)})


def _filter_groups(groups: list[dict[str, Any]], condition: Callable[[Tensor], bool]) -> list[dict[str, Any]]:
    """Return the groups with only the parameters that fulfill a condition, without empty groups."""
    filtered = [{**group, "params": [value for value in group["params"] if condition(value)]} for group in groups]
    return [group for group in filtered if group["params"]]


def _is_state_of(state: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, parameter: Tensor) -> bool:
    """Return whether a state has the moments, and with AdamW the number of steps, of a parameter."""
    moments = {"momentum_buffer"} if isinstance(optimizer, torch.optim.Muon) else {"exp_avg", "exp_avg_sq"}
    counts = set[str]() if isinstance(optimizer, torch.optim.Muon) else {"step"}
    return (
        state.keys() == moments | counts
        and all((state[key].shape, state[key].dtype) == (parameter.shape, parameter.dtype) for key in moments)
        and all(state[key].shape == () and state[key].dtype.is_floating_point for key in counts)
    )


def _ordered_parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the parameters in the order of the numbers in the optimizer's state dict."""
    return [value for group in optimizer.param_groups for value in group["params"]]


def _named_parameters(model: nn.Module, auxiliary: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters under their names in the state file."""
    yield from model.named_parameters()
    yield from ((f"beside.{name}", value) for name, value in auxiliary.named_parameters())


def _undecayed_names(model: nn.Module) -> Iterator[str]:
    """Yield the names of biases and of the weights of norms."""
    for prefix, module in model.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            if name == "bias" or isinstance(module, nn.LayerNorm):
                yield f"{prefix}.{name}" if prefix else name
