"""Reference memory: a frame recalls the prompted frames alone, which can be images without an order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from masklet.memory.policy import MemoryPolicy, Past, Selection
from masklet.memory.selection import compute_horizon, list_slots


@dataclass(frozen=True)
class ReferenceMemory(MemoryPolicy):
    """Memory of reference images: an object is found in independent images from its prompts in others.

    An image recalls the memory maps of all prompted images, in slot 6, and no object pointers, whose times have no
    meaning for images. It never recalls an image without a prompt.
    """

    name: ClassVar[str] = "reference"

    def select(self, past: Past, frame: int, direction: int) -> Selection:
        """Select the memory maps of the prompted images; see `MemoryPolicy`."""
        return Selection(list_slots(past, ()), (), compute_horizon(past.length))

    def retain(self, past: Past, frame: int, direction: int) -> set[int]:
        """Return the empty set: images without a prompt are never recalled."""
        return set()
