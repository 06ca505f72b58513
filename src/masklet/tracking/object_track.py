"""One object in a video: what was prompted, what was answered, what is remembered of it. No array is touched here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from masklet.backend import Decoded, Memory
from masklet.predict.crop import Window
from masklet.prompts import Prompt
from masklet.tracking.disk_cache import Shelf
from masklet.tracking.memory_bank import MemoryBank

DOUBTS = 64  # frames per object that are remembered as doubtful


class Answer(NamedTuple):
    """What was found of one object on one frame, and how."""

    decoded: Decoded
    step: int  # the direction in which the frame was last tracked; 0 if it was only prompted
    basis: int  # stands for exactly the memories that were recalled
    stamp: int  # stands for exactly this answer
    window: Window | None = None  # what its logits cover; None: the picture


@dataclass(slots=True)
class Track:
    """One object: its prompts and answers by frame, and its memories, of which `recent` are the bank's tracked ones."""

    recent: Shelf[Memory]
    answers: Shelf[Answer]
    bank: MemoryBank = field(init=False)
    prompts: dict[int, Prompt] = field(default_factory=dict)
    doubts: dict[int, float] = field(default_factory=dict)  # of the frames most in doubt

    def __post_init__(self) -> None:
        self.bank = MemoryBank(recent=self.recent)

    def basis(self, frame: int, step: int) -> int:
        """A number for what `frame` would recall."""
        return hash(tuple((t, self.answers[t].stamp) for t in self._recalled(frame, step)))

    def nearest(self, frame: int, step: int) -> int:
        """Of the frames that `frame` would recall the nearest one; of two, the one that was walked past."""
        return min(self._recalled(frame, step), key=lambda t: (abs(frame - t), (t - frame) * step))

    def note(self, frame: int, doubt: float) -> None:
        """Remember how doubtful the mask on `frame` is, if it is among the most doubtful ones."""
        self.doubts[frame] = doubt
        if len(self.doubts) > DOUBTS:
            del self.doubts[min(self.doubts, key=self.doubts.__getitem__)]

    def _recalled(self, frame: int, step: int) -> list[int]:
        return [t for t in self.bank.reach(frame, step) if t in self.answers]
