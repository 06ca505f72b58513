"""What is done to an object's masks after the network: holes filled, islands dropped, no pixel shared by two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import SettingsError
from masklet.masks.connected_components import clean_logits
from masklet.masks.masks import Masks
from masklet.masks.nms import separate

BARELY = 0.1  # the logit of a filled hole in video: on the object, and no surer than that (reference-model §2.3)


@dataclass(frozen=True, slots=True)
class Cleaning:
    """How a tracker cleans masks; by default not at all.

    `holes` and `islands` are the largest areas that are filled and dropped, in low-res pixels; with `apart` each pixel
    belongs to at most one object, the one with the highest logit there. All of it changes what is given out and nothing
    else, unless the cleaned masks are also to be `remembered`: then corrections start from them, memories are made of
    them, and with `apart` an object's masks depend on the others'.

    Raises `SettingsError` for areas below 0.
    """

    holes: float = 0
    islands: float = 0
    apart: bool = False
    remembered: bool = False

    def __post_init__(self) -> None:
        if not (self.holes >= 0 and self.islands >= 0):
            message = f"areas of holes and islands must be 0 or more, got {self.holes} and {self.islands}"
            raise SettingsError("bad-usage", message)

    def pieced(self, masks: Masks) -> Masks:
        """The masks without small holes and islands; those that were remembered are already."""
        if (self.holes or self.islands) and len(masks) and not self.remembered:
            return replace(masks, low_res=self._pieces(masks.low_res))
        return masks

    def parted(self, masks: Masks) -> Masks:
        """The masks of one picture, no pixel of which belongs to two, if that is wished."""
        return masks.without_overlap() if self.apart else masks

    def kept(self, logits: NDArray[Any], standing: Sequence[NDArray[Any]] = ()) -> NDArray[Any]:
        """Low-res logits (N, h, w) of one picture's objects as they are remembered, beside other objects' logits
        (h, w) that stay as they are."""
        cleaned = self._pieces(logits)
        if not self.apart or len(cleaned) + len(standing) < 2:
            return cleaned
        return np.asarray(separate(np.concatenate([cleaned, *(one[None] for one in standing)]))[: len(cleaned)])

    def _pieces(self, logits: NDArray[Any]) -> NDArray[Any]:
        return np.stack([self._cleaned(one) if (one > 0).any() else one for one in logits])  # nothing has no hole

    def _cleaned(self, logits: NDArray[Any]) -> NDArray[Any]:
        return clean_logits(logits, self.holes, self.islands, fill=BARELY)


AS_FOUND = Cleaning()
"""Masks as the network gives them."""
