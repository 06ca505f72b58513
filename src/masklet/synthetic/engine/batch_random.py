"""Random numbers for batches of clips: the same number for all frames of a clip, and drifts over the frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

INERTIA, IMPULSE = 0.8, 0.6
"""Shares of the old speed and of a random speed in each step of a drift; the standard deviation stays 1."""


@dataclass(frozen=True, slots=True)
class BatchRandom:
    """Samples tensors (B, …), B = `clips` × `frames`. The frames of a clip are consecutive and have equal values."""

    generator: torch.Generator
    clips: int
    frames: int
    device: torch.device

    @property
    def batch(self) -> int:
        """The number of frames of all clips."""
        return self.clips * self.frames

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Sample uniform numbers (B, *shape)."""
        values = torch.rand(self.clips, *shape, generator=self.generator, device=self.device)
        return self._repeat_for_frames(low + (high - low) * values)

    def normal(self, spread: float, *shape: int) -> Tensor:
        """Sample normal numbers (B, *shape) with mean 0 and standard deviation `spread`."""
        return self._repeat_for_frames(spread * self._normal(*shape))

    def bernoulli(self, share: float) -> Tensor:
        """Sample booleans (B,) that are true with probability `share`."""
        return self.uniform(0, 1) < share

    def choice_index(self, shares: Tensor) -> Tensor:
        """Sample indices (B,) with probabilities proportional to `shares` (N,)."""
        return self._repeat_for_frames(
            torch.multinomial(shares, self.clips, replacement=True, generator=self.generator)
        )

    def choice(self, values: Sequence[float]) -> Tensor:
        """Sample elements of `values` (B,)."""
        chosen = self.choice_index(torch.ones(len(values), device=self.device))
        return torch.tensor(values, device=self.device)[chosen]

    def drift(self, pace: Tensor, *shape: int) -> Tensor:
        """Sample a random walk with inertia over the frames of each clip (B, *shape), from 0, `pace` (B,) per frame."""
        speed = self._normal(*shape)
        place = torch.zeros_like(speed)
        path = [place]
        for _ in range(self.frames - 1):
            speed = INERTIA * speed + IMPULSE * self._normal(*shape)
            place = place + speed
            path.append(place)
        return torch.stack(path, 1).flatten(0, 1) * pace.view(-1, *(1 for _ in shape))

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(self.clips, *shape, generator=self.generator, device=self.device)

    def _repeat_for_frames(self, values: Tensor) -> Tensor:
        return values.repeat_interleave(self.frames, 0)
