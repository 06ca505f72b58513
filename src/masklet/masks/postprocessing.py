"""Post-processing of tracked masks: fill small holes, remove small islands, separate objects that overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import SettingsError
from masklet.masks.connected_components import fill_holes_and_remove_islands
from masklet.masks.masks import Masks
from masklet.masks.overlap import remove_overlap

VIDEO_FILL_LOGIT = 0.1  # of filled holes in video: just inside the object (reference-model §2.3)
_FIELD_NAMES = {  # of this class, by their names in session files and job logs
    "holes": "fill_holes",
    "islands": "remove_islands",
    "apart": "non_overlapping",
    "remembered": "in_memory",
}


@dataclass(frozen=True, slots=True)
class PostProcessing:
    """Post-processing of the masks that a tracker returns, by default none (reference-model §2.3).

    Attributes:
        fill_holes: The largest area of a hole that is filled, in pixels of the low-resolution logits. 0 fills none.
        remove_islands: The largest area of an island that is removed, in the same pixels. 0 removes none.
        non_overlapping: Assign each pixel to at most one object, the one with the highest logit.
        in_memory: Write the post-processed masks to the memory bank too and start corrections from them. With
            `non_overlapping` the masks of an object then depend on the other objects. By default only the returned
            masks are post-processed.

    Raises:
        SettingsError: An area is below 0.

    Example:
        >>> tidy = PostProcessing(fill_holes=8, remove_islands=20)
        >>> frames = masklet.load().track("dog.mp4", masklet.click(230, 150), postprocessing=tidy)
    """

    fill_holes: float = 0
    remove_islands: float = 0
    non_overlapping: bool = False
    in_memory: bool = False

    def __post_init__(self) -> None:
        if not (self.fill_holes >= 0 and self.remove_islands >= 0):
            message = f"areas of holes and islands must be 0 or more, got {self.fill_holes} and {self.remove_islands}"
            raise SettingsError("bad-usage", message)

    @staticmethod
    def from_fields(fields: Mapping[str, Any]) -> PostProcessing:
        """Make the options from the fields of a session file, as `to_fields` wrote them."""
        return PostProcessing(**{_FIELD_NAMES[name]: value for name, value in fields.items()})

    def to_fields(self) -> dict[str, Any]:
        """Return the options as the fields of a session file or a job log."""
        return {name: getattr(self, attribute) for name, attribute in _FIELD_NAMES.items()}

    def fill_and_remove(self, masks: Masks) -> Masks:
        """Fill holes and remove islands, unless the masks were already post-processed for the memory bank."""
        if (self.fill_holes or self.remove_islands) and len(masks) and not self.in_memory:
            return replace(masks, low_res=self._process(masks.low_res))
        return masks

    def separate(self, masks: Masks) -> Masks:
        """Apply the non-overlap constraint to the masks of one frame if `non_overlapping` is set."""
        return masks.remove_overlap() if self.non_overlapping else masks

    def process_for_memory(self, logits: NDArray[Any], others: Sequence[NDArray[Any]] = ()) -> NDArray[Any]:
        """Post-process the logits of one frame for the memory encoder.

        Args:
            logits: Low-resolution logits (N, h, w) of the objects that are written to memory.
            others: Logits (h, w) of other objects on the frame. They only take part in the non-overlap constraint.

        Returns:
            New logits (N, h, w).
        """
        processed = self._process(logits)
        if not self.non_overlapping or len(processed) + len(others) < 2:
            return processed
        return np.asarray(
            remove_overlap(np.concatenate([processed, *(mask[None] for mask in others)]))[: len(processed)]
        )

    def _process(self, logits: NDArray[Any]) -> NDArray[Any]:
        # An empty mask stays empty: its background is not a hole.
        return np.stack([self._process_one(mask) if (mask > 0).any() else mask for mask in logits])

    def _process_one(self, logits: NDArray[Any]) -> NDArray[Any]:
        return fill_holes_and_remove_islands(logits, self.fill_holes, self.remove_islands, fill_logit=VIDEO_FILL_LOGIT)


NO_POSTPROCESSING = PostProcessing()
"""Options without any post-processing."""
