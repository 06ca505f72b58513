"""Random numbers for a batch of clips: one draw for all frames of a clip, and drifts from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

INERTIA, IMPULSE = 0.8, 0.6
"""How much of its speed a drift keeps from frame to frame, and how much is new: the spread of speeds stays 1."""


@dataclass(frozen=True, slots=True)
class Draws:
    """Everything is (B, …) with B = `clips` · `frames`, the frames of a clip after one another and alike."""

    generator: torch.Generator
    clips: int
    frames: int
    device: torch.device

    @property
    def batch(self) -> int:
        return self.clips * self.frames

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        drawn = torch.rand(self.clips, *shape, generator=self.generator, device=self.device)
        return self._held(low + (high - low) * drawn)

    def normal(self, spread: float, *shape: int) -> Tensor:
        return self._held(spread * self._normal(*shape))

    def chance(self, share: float) -> Tensor:
        return self.uniform(0, 1) < share

    def index(self, shares: Tensor) -> Tensor:
        """Places in `shares`, drawn in proportion to them."""
        return self._held(torch.multinomial(shares, self.clips, replacement=True, generator=self.generator))

    def one_of(self, values: Sequence[float]) -> Tensor:
        chosen = self.index(torch.ones(len(values), device=self.device))
        return torch.tensor(values, device=self.device)[chosen]

    def drift(self, pace: Tensor, *shape: int) -> Tensor:
        """A random walk with inertia through the frames of each clip, from 0, of `pace` (B,) per frame."""
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

    def _held(self, values: Tensor) -> Tensor:
        return values.repeat_interleave(self.frames, 0)
