"""Which past frames does the tracker look at? Bookkeeping only: no array is touched here."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field

from masklet.backend import MAX_POINTERS, MEMORY_SLOTS, Memory, Recall


@dataclass(slots=True)
class MemoryBank:
    """One object's memories by frame: permanent ones of `prompted` frames and `recent` ones (reference-model §6.3).

    `recent` may be any mapping; the tracker's reaches back to what was put away.
    """

    prompted: dict[int, Memory] = field(default_factory=dict)
    recent: MutableMapping[int, Memory] = field(default_factory=dict)

    def remember(self, frame: int, memory: Memory, *, prompted: bool = False) -> None:
        """Keep `memory` of `frame`; what was prompted replaces what was tracked, and stands."""
        if prompted:
            self.prompted[frame] = memory
            self.recent.pop(frame, None)
        elif frame not in self.prompted:
            self.recent[frame] = memory

    def recall(self, frame: int, direction: int = 1, *, length: int | None = None) -> Recall:
        """The memories for `frame` when walking with `step` +1 or −1: every prompted frame in slot 6, the six
        neighbours before it by distance; pointers of the last 15 frames and of prompted frames not in the future.

        `length` is the clip's number of frames where it is known: pointer times are fractions of it in short clips.
        """
        ago = {k: self.recent[frame - k * direction] for k in self._distances(frame, direction)}
        spatial = [(MEMORY_SLOTS - 1, memory) for memory in self.prompted.values()]
        spatial += [(k - 1, ago[k]) for k in range(MEMORY_SLOTS - 1, 0, -1) if k in ago]
        pointers = [
            ((frame - t) * direction, memory) for t, memory in self.prompted.items() if (frame - t) * direction >= 0
        ]
        return Recall(tuple(spatial), (*pointers, *ago.items()), min(length or MAX_POINTERS, MAX_POINTERS) - 1)

    def recalled_frames(self, frame: int, direction: int = 1) -> list[int]:
        """The frames whose memories `recall` would give."""
        return [*self.prompted, *(frame - k * direction for k in self._distances(frame, direction))]

    def forget(self, frame: int) -> None:
        """Drop whatever is kept of `frame`."""
        self.prompted.pop(frame, None)
        self.recent.pop(frame, None)

    def trim(self, frame: int, step: int = 1) -> None:
        """Drop the tracked memories that no later frame of a walk past `frame` can recall."""
        for other in find_unreachable(self.recent, frame, step):
            del self.recent[other]

    def _distances(self, frame: int, step: int) -> list[int]:
        return [k for k in range(1, MAX_POINTERS) if frame - k * step in self.recent]


def find_unreachable(frames: Iterable[int], frame: int, direction: int) -> list[int]:
    """The `frames` that a walk with `step`, having reached `frame`, will never recall again."""
    return [other for other in frames if (frame - other) * direction >= MAX_POINTERS - 1]
