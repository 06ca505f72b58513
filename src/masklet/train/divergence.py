"""What stops a run that went wrong: a loss that is no number, masks that stay empty."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from masklet.errors import StateError
from masklet.files.atomic import atomic_write
from masklet.train.batches import Batch
from masklet.train.image_rollout import Outcome

COLLAPSED, PATIENCE = 0.02, 100  # answered area over true area below which, and steps for which, all masks are empty
FAILED = "failed-batch.safetensors"


def check_finite(loss: Tensor, batch: Batch, out: Path, step: int) -> None:
    """Save the batch and raise `StateError` if the loss is not finite."""
    if math.isfinite(loss.item()):
        return
    place = out / FAILED
    content = save({"frames": batch.frames.cpu(), "truth": batch.truth.cpu().to(torch.uint8)})
    with atomic_write(place) as file:
        file.write(content)
    raise StateError(
        "training-diverged",
        f"the loss is {loss.item()} at step {step}; the batch is in {place}",
        hint="continue from the last save with --resume and a lower --set rate",
    )


def check_alive(outcome: Outcome, empty: int, step: int, warmup: int) -> int:
    """How many steps in a row the answers have been empty, `empty` before this one; `StateError` if too many."""
    answered, true = outcome.areas.tolist()
    empty = empty + 1 if answered < COLLAPSED * true else 0
    if empty >= PATIENCE and step > warmup:
        raise StateError(
            "training-collapsed",
            f"masks have been empty for {empty} steps up to step {step}",
            hint="begin again with a lower --set rate or a larger --set easy",
        )
    return empty
