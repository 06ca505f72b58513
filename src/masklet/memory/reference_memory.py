"""Reference memory: a frame recalls the prompted frames alone, which can be images without an order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from masklet.memory.policy import Choice, MaskCandidates, Past, Record, Selection
from masklet.memory.selection import compute_horizon, list_slots


@dataclass(frozen=True)
class ReferenceMemory:
    """Memory of reference images: an object is found in independent images from its prompts in others.

    An image recalls the memory maps of all prompted images, in slot 6, and no object pointers, whose times have no
    meaning for images. It never recalls an image without a prompt.
    """

    name: ClassVar[str] = "reference"
    chooses: ClassVar[bool] = False
    revises: ClassVar[bool] = False

    def select(self, past: Past, frame: int, direction: int) -> Selection:
        """Select the memory maps of the prompted images; see `MemoryPolicy`."""
        return Selection(list_slots(past, ()), (), compute_horizon(past.length))

    def retain(self, past: Past, frame: int, direction: int) -> set[int]:
        """Return the empty set: images without a prompt are never recalled."""
        return set()

    def start(self, box: NDArray[Any], area: int) -> tuple[float, ...]:
        """Return the empty state."""
        return ()

    def choose(
        self, last: Sequence[Record], candidates: Sequence[MaskCandidates], frame: int, direction: int
    ) -> list[Choice]:
        """Return the decoder's choice."""
        return [Choice(0, None)]
