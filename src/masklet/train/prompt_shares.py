"""Prompt shares: how often the prompts of training are masks, clicks and boxes. It needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PromptShares:
    """Relative frequencies of first prompts (mask, click, box), and fractions of clicks by rule."""

    mask: float = 0.5
    click: float = 0.25
    box: float = 0.25
    centered: float = 0.0  # clicks at the center of the largest error; the others lie anywhere in the error region
    from_ground_truth: float = 0.1  # corrections sampled from the object instead of the error region
