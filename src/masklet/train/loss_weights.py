"""Loss weights: the weights of the losses and the parameters of the focal loss. It needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the losses and parameters of the focal loss. The defaults are those of SAM 2."""

    focal: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    object_score: float = 1.0
    alpha: float = 0.25  # focal loss: weight of object pixels against 1 - alpha of the others; negative: both 1
    gamma: float = 2.0  # focal loss: exponent that reduces the weight of pixels that are predicted correctly
    boundary: float = 0.0  # focal loss: additional weight of pixels at the object's boundary
