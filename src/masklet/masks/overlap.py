"""Non-overlap constraint: each pixel of an image belongs to at most one mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.config import CERTAIN_LOGIT

MAX_LOSING_LOGIT = -CERTAIN_LOGIT  # of a mask where another one has the highest logit (reference-model §2.3)


def remove_overlap(logits: NDArray[Any]) -> NDArray[Any]:
    """Assign each pixel to the mask with the highest logit, the first of equals (reference-model §2.3).

    Args:
        logits: Logits (N, H, W) of at least one mask.

    Returns:
        New logits (N, H, W), at most −10 where the pixel belongs to another mask.
    """
    separated = logits.copy()
    highest = logits[0].copy()
    winner = np.zeros(highest.shape, np.int32)
    for position, mask_logits in enumerate(logits[1:], start=1):
        np.copyto(winner, position, where=mask_logits > highest)
        np.maximum(highest, mask_logits, out=highest)
    for position, mask_logits in enumerate(separated):
        np.copyto(mask_logits, np.minimum(mask_logits, MAX_LOSING_LOGIT), where=winner != position)
    return np.asarray(separated)
