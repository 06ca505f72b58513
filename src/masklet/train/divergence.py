"""Divergence checks, which stop a run: a loss that is not finite, predictions that stay empty."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from masklet.checkpoints import write_tensors
from masklet.errors import StateError
from masklet.train.batches import Batch
from masklet.train.image_rollout import RolloutResult

MIN_AREA_RATIO = 0.02  # predicted area divided by ground-truth area; less counts as empty
MAX_EMPTY_STEPS = 100
FAILED_BATCH = "failed-batch.safetensors"


def check_finite(loss: Tensor, batch: Batch, out: Path, step: int) -> None:
    """Save the batch to `out` and raise `StateError` if the loss is not finite."""
    if math.isfinite(loss.item()):
        return
    path = out / FAILED_BATCH
    ground_truth = batch.ground_truth.cpu().to(torch.uint8).numpy()
    write_tensors(path, {"frames": batch.frames.cpu().numpy(), "ground_truth": ground_truth})
    raise StateError(
        "training-diverged",
        f"the loss is {loss.item()} at step {step}; the batch is in {path}",
        hint="continue from the last save with --resume and a lower --set learning_rate",
    )


def check_collapse(result: RolloutResult, empty: int, step: int, warmup: int) -> int:
    """Count consecutive steps with empty predictions.

    Args:
        result: The result of this step.
        empty: The count before this step.
        step: The number of this step.
        warmup: Steps after which a collapse is an error.

    Returns:
        The count after this step.

    Raises:
        StateError: The count has reached `MAX_EMPTY_STEPS` after the warm-up.
    """
    predicted, expected = result.areas.tolist()
    empty = empty + 1 if predicted < MIN_AREA_RATIO * expected else 0
    if empty >= MAX_EMPTY_STEPS and step > warmup:
        raise StateError(
            "training-collapsed",
            f"predicted masks have been empty for {empty} steps up to step {step}",
            hint="start a new run with a lower --set learning_rate or a higher --set easy_until",
        )
    return empty
