"""Memory bank: memories by frame, and the recall of those that a policy selects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from masklet.backend import Memory, Recall
from masklet.memory.policy import MemoryPolicy, Past, Record, Selection
from masklet.memory.recent_memory import RecentMemory

NO_RECORD = Record(1.0, 1.0)  # of a frame of which the policy keeps no record


@dataclass(slots=True)
class MemoryBank:
    """One object's memories by frame, with one hypothesis per frame.

    Attributes:
        policy: Rules that select memories.
        prompted: Memories of prompted frames.
        recent: Memories of tracked frames.
    """

    policy: MemoryPolicy = field(default_factory=RecentMemory)
    prompted: dict[int, Memory] = field(default_factory=dict)
    recent: dict[int, Memory] = field(default_factory=dict)

    def remember(self, frame: int, memory: Memory, *, prompted: bool = False) -> None:
        """Store the memory of a frame. A prompted frame keeps its memory when it is tracked."""
        if prompted:
            self.prompted[frame] = memory
            self.recent.pop(frame, None)
        elif frame not in self.prompted:
            self.recent[frame] = memory

    def recall(self, frame: int, direction: int = 1, *, length: int | None = None) -> Recall:
        """Return the memories that a frame recalls.

        Args:
            frame: The frame.
            direction: 1 where the video is tracked forward, −1 where it is tracked backward.
            length: Number of frames of the clip, if it is known.
        """

        def list_tracked() -> Iterator[tuple[int, Record]]:
            behind = (t for t in self.recent if (frame - t) * direction > 0)
            return ((t, NO_RECORD) for t in sorted(behind, key=lambda t: (frame - t) * direction))

        past = Past(dict.fromkeys(self.prompted, NO_RECORD), list_tracked, length)
        selection = self.policy.select(past, frame, direction)
        return build_recall(selection, lambda t: self.prompted[t] if t in self.prompted else self.recent[t])


def build_recall(selection: Selection, memory_of: Callable[[int], Memory]) -> Recall:
    """Build the recall of a selection.

    Args:
        selection: What a policy selected.
        memory_of: Returns the memory of a frame.
    """
    spatial = tuple((slot, memory_of(frame)) for slot, frame in selection.slots)
    pointers = tuple((ago, memory_of(frame)) for ago, frame in selection.pointers)
    return Recall(spatial, pointers, selection.horizon, selection.scales)
