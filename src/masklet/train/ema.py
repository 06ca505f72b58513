"""Exponential moving average (EMA) of the trained weights, which is the result of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """The moving average of all parameters that require gradients."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in _trainable_parameters(model)}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move the average toward the model's weights, by larger steps at the start of the run."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        current = dict(_trainable_parameters(model))
        torch._foreach_lerp_(list(self.weights.values()), [current[name] for name in self.weights], share)

    @contextmanager
    def apply_to(self, model: nn.Module) -> Iterator[None]:
        """Give the model the averaged weights within a `with` block."""
        self._swap(model)
        try:
            yield
        finally:
            self._swap(model)

    @torch.no_grad()
    def _swap(self, model: nn.Module) -> None:
        for name, parameter in _trainable_parameters(model):
            current = parameter.detach().clone()
            parameter.copy_(self.weights[name])
            self.weights[name].copy_(current)


def _trainable_parameters(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return ((name, value) for name, value in model.named_parameters() if value.requires_grad)
