"""Trunk of the image encoder, a protocol: `Hiera`, `RepVit`, `Vit` and `EfficientNetLite` implement it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

    TrunkMaps = tuple[
        Float[Tensor, "B C1 h1 w1"],
        Float[Tensor, "B C2 h2 w2"],
        Float[Tensor, "B C3 h3 w3"],
        Float[Tensor, "B C4 h4 w4"],
    ]
    """Features of images at strides 4, 8, 16 and 32. `Vit` has one map at stride 16 in their place."""


class Trunk(Protocol):
    """Images → one map for each of its levels."""

    levels: Mapping[int, int]
    """Channels of the maps by stride, finest first."""

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> TrunkMaps | tuple[Float[Tensor, "B C h w"]]:
        """Compute the maps of normalized images whose sides are multiples of the coarsest stride."""
        ...
