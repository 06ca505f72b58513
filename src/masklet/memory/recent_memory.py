"""Recent memory: SAM 2's rule, by which a frame recalls the frames before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from masklet.memory.policy import MemoryPolicy, Past, Selection
from masklet.memory.selection import (
    PROMPT_SLOT,
    RECENT_SLOTS,
    compute_horizon,
    iterate_window,
    list_pointers,
    retain_window,
)


@dataclass(frozen=True)
class RecentMemory(MemoryPolicy):
    """SAM 2's memory (arXiv 2408.00714, reference-model §6.3).

    A frame recalls the memory maps of all prompted frames, in slot 6, and of the six frames before it, in slots by
    distance. It recalls the object pointers of the prompted frames that are not ahead and of the 15 frames before it.
    """

    name: ClassVar[str] = "recent"

    def select(self, past: Past, frame: int, direction: int) -> Selection:
        """Select the memories of the frames before; see `MemoryPolicy`."""
        window = [t for t, _ in iterate_window(past, frame, direction)]
        ago = [((frame - t) * direction, t) for t in window]
        recent = [(distance - 1, t) for distance, t in reversed(ago) if distance <= RECENT_SLOTS]
        return Selection(
            slots=(*((PROMPT_SLOT, t) for t in past.prompted), *recent),
            pointers=list_pointers(past, frame, direction, window),
            horizon=compute_horizon(past.length),
        )

    def retain(self, past: Past, frame: int, direction: int) -> set[int]:
        """Return the frames less than 15 frames behind; see `MemoryPolicy`."""
        return retain_window(past, frame, direction)


RECENT_MEMORY: MemoryPolicy = RecentMemory()
"""SAM 2's memory, which is the default."""
