"""One object in a video: what was prompted, what was answered, what is remembered of it. No array is touched here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from masklet.backend import Decoded, Memory
from masklet.predict.crop import Crop
from masklet.prompts import Prompt
from masklet.tracking.disk_cache import SpilledDict
from masklet.tracking.memory_bank import MemoryBank

DOUBTS = 64  # frames per object that are remembered as doubtful


class ObjectResult(NamedTuple):
    """What was found of one object on one frame, and how."""

    decoded: Decoded
    direction: int  # the direction in which the frame was last tracked; 0 if it was only prompted
    basis: int  # stands for exactly the memories that were recalled
    stamp: int  # stands for exactly this answer
    crop: Crop | None = None  # what its logits cover; None: the picture


@dataclass(slots=True)
class ObjectTrack:
    """One object: its prompts and answers by frame, and its memories, of which `recent` are the bank's tracked ones."""

    recent: SpilledDict[Memory]
    results: SpilledDict[ObjectResult]
    bank: MemoryBank = field(init=False)
    prompts: dict[int, Prompt] = field(default_factory=dict)
    uncertainties: dict[int, float] = field(default_factory=dict)  # of the frames most in doubt

    def __post_init__(self) -> None:
        self.bank = MemoryBank(recent=self.recent)

    def basis(self, frame: int, direction: int) -> int:
        """A number for what `frame` would recall."""
        return hash(tuple((t, self.results[t].stamp) for t in self._recalled(frame, direction)))

    def nearest_recalled(self, frame: int, direction: int) -> int:
        """Of the frames that `frame` would recall the nearest one; of two, the one that was walked past."""
        return min(self._recalled(frame, direction), key=lambda t: (abs(frame - t), (t - frame) * direction))

    def note_uncertainty(self, frame: int, doubt: float) -> None:
        """Remember how doubtful the mask on `frame` is, if it is among the most doubtful ones."""
        self.uncertainties[frame] = doubt
        if len(self.uncertainties) > DOUBTS:
            del self.uncertainties[min(self.uncertainties, key=self.uncertainties.__getitem__)]

    def _recalled(self, frame: int, step: int) -> list[int]:
        return [t for t in self.bank.recalled_frames(frame, step) if t in self.results]
