"""Track of one object: its prompts, results and memories by frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from masklet.backend import Backend, Decoded, Memory
from masklet.predict.crop import Crop
from masklet.prompts import Prompt
from masklet.tracking.disk_cache import DiskCache, SpilledDict
from masklet.tracking.memory_bank import MemoryBank

_MAX_UNCERTAINTIES = 64  # frames per object, those with the highest uncertainty


class ObjectResult(NamedTuple):
    """Result of one object on one frame, and what it was computed from.

    Attributes:
        decoded: The decoder's output.
        direction: Direction in which the frame was last tracked, 1 or −1; 0 if it was only prompted.
        basis: Hash of the results whose memories were recalled.
        stamp: Number of this result; no other result of the tracker has it.
        crop: Crop that the logits cover; None is the full image.
    """

    decoded: Decoded
    direction: int
    basis: int
    stamp: int
    crop: Crop | None = None


@dataclass(slots=True)
class ObjectTrack:
    """One object of a tracker.

    Attributes:
        recent: Memories of tracked frames, which are part of `bank`.
        results: Results by frame.
        bank: Memory bank.
        prompts: Prompts by frame.
        uncertainties: Uncertainty of the most uncertain masks, by frame.
    """

    recent: SpilledDict[Memory]
    results: SpilledDict[ObjectResult]
    bank: MemoryBank = field(init=False)
    prompts: dict[int, Prompt] = field(default_factory=dict)
    uncertainties: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bank = MemoryBank(recent=self.recent)

    @staticmethod
    def create(object_id: int, backend: Backend, disk_cache: DiskCache) -> ObjectTrack:
        """Create the track of an object without prompts."""

        def unpack_memory(arrays: list[Any]) -> Memory:
            return Memory(*backend.restore(arrays))

        def pack_result(result: ObjectResult) -> list[Any]:
            numbers = (result.direction, result.basis, result.stamp, *(result.crop or ()))
            return [*backend.store(result.decoded[:4]), _to_int64(numbers)]

        def unpack_result(arrays: list[Any]) -> ObjectResult:
            direction, basis, stamp, *crop = arrays[4].tolist()
            decoded = Decoded(*backend.restore(arrays[:4]))
            return ObjectResult(decoded, direction, basis, stamp, Crop(*crop) if crop else None)

        return ObjectTrack(
            recent=SpilledDict(disk_cache, (object_id, "memory"), backend.store, unpack_memory),
            results=SpilledDict(disk_cache, (object_id, "result"), pack_result, unpack_result),
        )

    def compute_basis(self, frame: int, direction: int) -> int:
        """Return a hash of the results whose memories `frame` would recall."""
        return hash(tuple((t, self.results[t].stamp) for t in self._recalled(frame, direction)))

    def nearest_recalled(self, frame: int, direction: int) -> int:
        """Return the nearest frame that `frame` would recall; of two, the one that was tracked before it."""
        return min(self._recalled(frame, direction), key=lambda t: (abs(frame - t), (t - frame) * direction))

    def note_uncertainty(self, frame: int, uncertainty: float) -> None:
        """Keep the uncertainty of the mask on a frame, if it is among the highest ones."""
        self.uncertainties[frame] = uncertainty
        if len(self.uncertainties) > _MAX_UNCERTAINTIES:
            del self.uncertainties[min(self.uncertainties, key=self.uncertainties.__getitem__)]

    def _recalled(self, frame: int, direction: int) -> list[int]:
        return [t for t in self.bank.recalled_frames(frame, direction) if t in self.results]


def _to_int64(values: Iterable[int]) -> Any:
    return np.array([*values], np.int64)
