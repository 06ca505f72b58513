"""Memory bank of one object: memories by frame, and the selection of those that a frame recalls."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field

from masklet.backend import MAX_POINTERS, MEMORY_SLOTS, Memory, Recall


@dataclass(slots=True)
class MemoryBank:
    """One object's memories by frame (reference-model §6.3).

    Attributes:
        prompted: Memories of prompted frames, which are permanent.
        recent: Memories of tracked frames. In a tracker the mapping loads older ones from a disk cache.
    """

    prompted: dict[int, Memory] = field(default_factory=dict)
    recent: MutableMapping[int, Memory] = field(default_factory=dict)

    def remember(self, frame: int, memory: Memory, *, prompted: bool = False) -> None:
        """Store the memory of a frame. A prompted frame keeps its memory when it is tracked."""
        if prompted:
            self.prompted[frame] = memory
            self.recent.pop(frame, None)
        elif frame not in self.prompted:
            self.recent[frame] = memory

    def recall(self, frame: int, direction: int = 1, *, length: int | None = None) -> Recall:
        """Select the memories that a frame recalls.

        Maps are those of every prompted frame, in slot 6, and of the six frames before, by distance. Pointers are those
        of the 15 frames before and of prompted frames that are not ahead.

        Args:
            frame: The frame.
            direction: 1 where the video is tracked forward, −1 where it is tracked backward.
            length: Number of frames of the clip, if it is known: in clips of less than 16 frames, times of pointers are
                fractions of it.
        """
        ago = {k: self.recent[frame - k * direction] for k in self._distances(frame, direction)}
        spatial = [(MEMORY_SLOTS - 1, memory) for memory in self.prompted.values()]
        spatial += [(k - 1, ago[k]) for k in range(MEMORY_SLOTS - 1, 0, -1) if k in ago]
        pointers = [
            ((frame - t) * direction, memory) for t, memory in self.prompted.items() if (frame - t) * direction >= 0
        ]
        return Recall(tuple(spatial), (*pointers, *ago.items()), min(length or MAX_POINTERS, MAX_POINTERS) - 1)

    def recalled_frames(self, frame: int, direction: int = 1) -> list[int]:
        """List the frames whose memories `recall` selects."""
        return [*self.prompted, *(frame - k * direction for k in self._distances(frame, direction))]

    def forget(self, frame: int) -> None:
        """Drop the memory of a frame."""
        self.prompted.pop(frame, None)
        self.recent.pop(frame, None)

    def _distances(self, frame: int, direction: int) -> list[int]:
        return [k for k in range(1, MAX_POINTERS) if frame - k * direction in self.recent]


def find_unreachable(frames: Iterable[int], frame: int, direction: int) -> list[int]:
    """Find the frames that are never recalled again once tracking in a direction has reached `frame`."""
    return [other for other in frames if (frame - other) * direction >= MAX_POINTERS - 1]
